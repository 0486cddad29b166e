//! What Tab offers in bash.

use crate::scene::Scene;

/// The words that the script offers for the last of `words`, as bash splits them.
fn offered(scene: &Scene, words: &[&str]) -> Vec<String> {
    const ASK: &str = r#"
        PATH="$(dirname "$1"):$PATH"; shift
        source <(injector completions bash)
        COMP_WORDS=(injector "$@"); COMP_CWORD=$#
        _clap_complete_injector injector "${!#}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    let output = scene.injector.run_through(&["bash", "-c", ASK, "bash"], words).ok();
    output.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn the_words_of_this_host_are_offered() {
    let scene = Scene::new("complete");
    let _child = scene.inside.child("one.service");
    let attachment = scene.injector.attach_detached(&scene.inside, &[]);
    let path = scene.inside.kernel_path();
    let begun = &path[..path.len() - 1];
    let table: [(&[&str], Vec<String>); 6] = [
        (&["flows", "--name", attachment.name()], vec![attachment.name().to_owned()]),
        (&["detach", attachment.name()], vec![attachment.name().to_owned()]),
        (&["attach", "--cgroup", begun], vec![path.clone()]),
        (&["attach", &format!("{path}/")], vec![format!("{path}/one.service")]),
        (&["attach", "--hop", "nlb-tl"], vec!["nlb-tls=nlb-tls".to_owned()]),
        (&["attach", "--hop", "db", "=", "nlb-tl"], vec!["nlb-tls".to_owned()]),
    ];
    for (words, expected) in table {
        assert_eq!(offered(&scene, words), expected, "{words:?}");
    }
}
