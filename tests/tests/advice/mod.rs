//! What `doctor` and `recommend` find and print.

mod doctor;
mod recommend;
mod servers;
