//! Manual pages as files.

use std::fs;

use injector_tests::{Injector, tool};

#[test]
fn each_page_is_without_a_warning() {
    let directory = tempfile::tempdir().expect("room");
    Injector::find().run(&["man", directory.path().to_str().expect("UTF-8")]).ok();
    let mut pages = 0;
    for section in ["man1", "man5"] {
        for page in fs::read_dir(directory.path().join(section)).expect("written") {
            let page = page.expect("readable").path().into_os_string().into_string().expect("UTF-8");
            // It fails where it has something to say.
            assert_eq!(tool("mandoc", &["-T", "lint", "-W", "warning", &page]), "", "{page}");
            pages += 1;
        }
    }
    assert!(pages > 15, "{pages} pages");
}
