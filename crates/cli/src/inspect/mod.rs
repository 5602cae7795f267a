//! `ferrolite inspect`: what a model is made of and how it would be run.

mod html;
mod layout;
mod picture;
