//! What the documentation shows is what the commands print.

mod completion;
mod manual;
mod transcript;
