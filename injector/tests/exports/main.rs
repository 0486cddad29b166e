//! What Prometheus gets, and whether what we ship asks for nothing else.

mod deploy;
mod full;
mod text;
