//! Execution of planned models: arena, variables, subgraphs, profiling.
