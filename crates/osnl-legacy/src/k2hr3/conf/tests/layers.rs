use std::fs;
use std::path::Path;

use osnl_config::Environment;

use super::super::*;

fn load_in_home(
    program: &str,
    files: &[(&str, &str)],
    main: &str,
    variables: &[(&str, &str)],
) -> (String, Result<LoadedConf, ConfError>) {
    let home = tempfile::tempdir().unwrap();
    for (file, text) in files {
        let path = home.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let file = home.path().join("k.conf");
    fs::write(&file, main).unwrap();
    let environment: Environment = variables.iter().copied().collect();
    let mut inputs = HiddenInputs::new(program, Some(home.path()), environment);
    inputs.folders.retain(|folder| folder.starts_with(home.path()));
    (home.path().display().to_string(), Conf::load(&file, &inputs))
}

#[test]
fn the_file_fills_over_the_folder_and_the_environment_over_both() {
    let check =
        |program: &str, files: &[(&str, &str)], main: &str, variables: &[(&str, &str)], expected: &str| {
            let main = format!("[k2hr3]\napi_url = http://h/\n[oslo_messaging_notifications]\n{main}\n");
            let (_, loaded) = load_in_home(program, files, &main, variables);
            let conf = loaded.unwrap_or_else(|error| panic!("{error}")).conf;
            assert_eq!(
                conf.oslo_messaging_notifications.topic, expected,
                "{program} {files:?} {main} {variables:?}"
            );
        };
    let topic = |topic: &'static str| format!("[oslo_messaging_notifications]\ntopic = {topic}\n");
    let (dir, other) = (topic("dir"), topic("other"));
    let dash = "k2hr3-osnl.conf.d/a.conf";
    let underscore = "k2hr3_osnl.conf.d/a.conf";
    let variable = "OS_OSLO_MESSAGING_NOTIFICATIONS__TOPIC";
    check("k2hr3-osnl", &[], "", &[], "notifications");
    check("k2hr3-osnl", &[(dash, &dir)], "", &[], "dir");
    check("k2hr3-osnl", &[(dash, &dir)], "topic = main", &[], "main");
    check("k2hr3-osnl", &[(dash, &dir)], "topic = main", &[(variable, "env")], "env");
    check("k2hr3_osnl", &[(dash, &dir), (underscore, &other)], "", &[], "other");
    check("k2hr3-osnl.py", &[(dash, &dir), (underscore, &other)], "", &[], "dir");
    check("k2hr3_osnl", &[(dash, &dir)], "", &[], "notifications");
    let sorted = [("k2hr3-osnl.conf.d/9.conf", &*dir), ("k2hr3-osnl.conf.d/10.conf", &*other)];
    check("k2hr3-osnl", &sorted, "", &[], "dir");
    let not = [
        ("k2hr3-osnl.conf.d/.a.conf", &*dir),
        ("k2hr3-osnl.conf.d/a.txt", &*dir),
        ("k2hr3-osnl.conf", &*dir),
    ];
    check("k2hr3-osnl", &not, "", &[], "notifications");
    let project = [(".k2hr3-osnl/k2hr3-osnl.conf.d/a.conf", &*dir), ("k2hr3.conf.d/a.conf", &*dir)];
    check("k2hr3-osnl", &project, "", &[], "notifications");
    check("k2hr3-osnl", &[("k2hr3-osnl.conf.d", "nonsense")], "", &[], "notifications");
    check("k2hr3-osnl", &[], "", &[("OS_oslo_messaging_notifications__topic", "env")], "notifications");
    check("k2hr3-osnl", &[], "", &[(variable, "\"env\" ")], "\"env\" ");
    check("k2hr3-osnl", &[], "pool = p", &[(variable, "t_$pool")], "t_p");
    check("k2hr3-osnl", &[], "topic = t_$pool", &[("OS_OSLO_MESSAGING_NOTIFICATIONS__POOL", "env")], "t_env");
}

#[test]
fn only_the_first_folder_that_exists_is_read() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("k.conf");
    fs::write(&file, "[k2hr3]\napi_url = http://h/\n").unwrap();
    let folder = |name: &str, text: &str| {
        let folder = place.path().join(name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("a.conf"), text).unwrap();
        folder
    };
    let home = folder("home", "[k2hr3]\ntimeout_seconds = 7\n");
    let etc = folder("etc", "[k2hr3]\ntimeout_seconds = 8\nmax_retries = 9\n");
    let inputs = HiddenInputs { folders: vec![place.path().join("none"), home, etc], ..HiddenInputs::none() };
    let conf = Conf::load(&file, &inputs).unwrap().conf;
    assert_eq!((conf.k2hr3.timeout_seconds, conf.k2hr3.max_retries), (7, 5));
    let named = HiddenInputs::new("k2hr3-osnl", Some(Path::new("/h")), Environment::default());
    assert_eq!(named.folders, [Path::new("/h/k2hr3-osnl.conf.d"), Path::new("/etc/k2hr3-osnl.conf.d")]);
}

#[test]
fn both_names_of_the_retries_in_any_layer() {
    let check = |file: &str, main: &str, variables: &[(&str, &str)], expected: u32| {
        let main = format!("[k2hr3]\napi_url = http://h/\n{main}\n");
        let file = format!("[k2hr3]\n{file}\n");
        let (_, loaded) =
            load_in_home("k2hr3-osnl", &[("k2hr3-osnl.conf.d/a.conf", &file)], &main, variables);
        assert_eq!(loaded.unwrap().conf.k2hr3.max_retries, expected, "{file} {main} {variables:?}");
    };
    check("retries = 1", "retries = 2", &[], 2);
    check("retries = 1", "", &[], 1);
    check("max_retries = 1", "retries = 2", &[], 1);
    check("retries = 1", "max_retries = 2", &[], 2);
    check("max_retries = 1", "", &[("OS_K2HR3__RETRIES", "3")], 1);
    check("", "retries = 2", &[("OS_K2HR3__RETRIES", "3")], 3);
    check("", "max_retries = 2", &[("OS_K2HR3__MAX_RETRIES", "4")], 4);
}

#[test]
fn what_set_something_is_listed() {
    let (home, loaded) = load_in_home(
        "k2hr3-osnl",
        &[("k2hr3-osnl.conf.d/a.conf", "[k2hr3]\ntimeout_seconds = 1\nmax_retries = 1\n")],
        "[k2hr3]\napi_url = http://h/\n",
        &[("OS_K2HR3__MAX_RETRIES", "2"), ("PATH", "/bin")],
    );
    let inputs: Vec<String> =
        loaded.unwrap().inputs().iter().map(|input| input.replace(&home, "~")).collect();
    assert_eq!(inputs, ["~/k2hr3-osnl.conf.d/a.conf", "~/k.conf", "environment OS_K2HR3__MAX_RETRIES"]);
}
