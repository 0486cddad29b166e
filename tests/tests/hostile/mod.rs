//! What others may put in injector's way: objects, links, permissions, names, packets.

mod names;
mod objects;
mod packets;
mod root;
mod symlinks;
