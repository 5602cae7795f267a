//! Graph rewriting, memory planning and kernel choice of Ferrolite.
