//! What other users can do against injector: objects, links, permissions, names, packets, messages.

mod lines;
mod messages;
mod names;
mod objects;
mod packets;
mod root;
mod symlinks;
