//! Chooses the BPF object that the binary carries: the committed build, so that stable Rust is enough, or with
//! `INJECTOR_EBPF=build` a fresh one.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use sha2::{Digest as _, Sha256};

fn main() {
    println!("cargo::rerun-if-env-changed=INJECTOR_EBPF");
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let object = match env::var("INJECTOR_EBPF").as_deref() {
        Ok("build") => build(&workspace),
        Ok("prebuilt") | Err(_) => prebuilt(&workspace),
        Ok(other) => panic!("INJECTOR_EBPF is {other:?}: set it to \"build\" or \"prebuilt\", or not at all"),
    };
    println!("cargo::rustc-env=INJECTOR_BPF_OBJECT={}", object.display());
    println!("cargo::rustc-env=INJECTOR_BPF_BUILD={}", build_id(&object));
}

/// The beginning of the object's digest: whether what is attached is this build.
fn build_id(object: &Path) -> String {
    let bytes = fs::read(object).unwrap_or_else(|error| panic!("cannot read {}: {error}", object.display()));
    let digest = Sha256::digest(bytes);
    format!("{:016x}", digest.iter().take(8).fold(0_u64, |id, &byte| id << 8 | u64::from(byte)))
}

fn prebuilt(workspace: &Path) -> PathBuf {
    let object = workspace.join("injector-ebpf/prebuilt/injector.bpf.o");
    println!("cargo::rerun-if-changed={}", object.display());
    object
}

/// Has a cargo of its own, in a target directory of its own: ours is locked.
fn build(workspace: &Path) -> PathBuf {
    for source in ["injector-ebpf/src", "injector-ebpf/Cargo.toml", "injector-common/src", "injector-common/Cargo.toml"]
    {
        println!("cargo::rerun-if-changed={}", workspace.join(source).display());
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let object = out.join("injector.bpf.o");
    let status = Command::new(env::var_os("CARGO").expect("cargo sets CARGO"))
        .args(["run", "--package", "xtask", "--", "ebpf", "--out"])
        .arg(&object)
        .current_dir(workspace)
        .env("CARGO_TARGET_DIR", out.join("xtask"))
        // Cargo passes on the flags for our target, which are not meant for a tool.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .status()
        .expect("cargo runs");
    assert!(status.success(), "cargo xtask ebpf failed: `cargo xtask setup` installs what it needs");
    object
}
