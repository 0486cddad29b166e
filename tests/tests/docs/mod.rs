//! What the documentation shows is what the commands print.

mod transcript;
