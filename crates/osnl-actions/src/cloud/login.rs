use std::path::PathBuf;

use osnl_action::driver::{ENRICH, NativeReader as _, SectionReader, login_at};
use osnl_config::{nearest, typed};
use osnl_net::http::Verification;
use osnl_openstack::{CloudConf, CloudVariables, Clouds, CloudsError, Fields};

const LOGIN: [(&str, &str); 18] = [
    ("auth_type", "auth_type"),
    ("auth_url", "auth_url"),
    ("username", "username"),
    ("password", "password"),
    ("user_domain_name", "user_domain_name"),
    ("user_domain_id", "user_domain_id"),
    ("project_name", "project_name"),
    ("project_id", "project_id"),
    ("project_domain_name", "project_domain_name"),
    ("project_domain_id", "project_domain_id"),
    ("system_scope", "system_scope"),
    ("application_credential_id", "application_credential_id"),
    ("application_credential_name", "application_credential_name"),
    ("application_credential_secret", "application_credential_secret"),
    ("region_name", "region_name"),
    ("interface", "interface"),
    ("verify", "verify"),
    ("ca_file", "cacert"),
];

/// Reads the login of a section: `cloud` of a clouds.yaml, or `auth_url` and what belongs to it.
pub fn read(reader: &mut SectionReader<'_>) -> Option<CloudConf> {
    let mut written = Vec::new();
    for (option, field) in LOGIN {
        if reader.is_set(option) {
            written.push((field, reader.text(option)?));
        }
    }
    let file = reader.path("clouds_file", "write the path of a clouds.yaml, or remove the line")?;
    // The environment's missing clouds.yaml is skipped, but a missing file that the option names is
    // an error.
    if file.as_ref().is_some_and(|file| !file.is_file()) {
        let allowed = "name an existing clouds.yaml, or remove the line";
        return reader.refuse("clouds_file", "there is no such file", allowed);
    }
    let found = named_cloud(reader, file, written)?;
    let option = if reader.is_set("cloud") { "cloud" } else { "auth_url" };
    reader.warn_of_logins(&[login_at(option, &found.auth_url)]);
    // The check of the target warns of an action's own `verify`.
    let own = reader.is_set("verify");
    if found.verification == Some(Verification::None) && (!own || reader.section.def.kind == ENRICH) {
        let problem = "the certificates of the cloud and their names are not verified, and a forged Keystone would get the password";
        reader.warn(
            if own { "verify" } else { "cloud" },
            problem,
            "name the file of its CA's certificate in ca_file",
        );
    }
    Some(found)
}

fn named_cloud(
    reader: &mut SectionReader<'_>,
    file: Option<PathBuf>,
    written: Vec<(&'static str, String)>,
) -> Option<CloudConf> {
    if !reader.is_set("cloud") {
        if file.is_some() {
            return reader.refuse(
                "clouds_file",
                "has no effect without cloud",
                "set cloud, or remove the line",
            );
        }
        if !reader.is_set("auth_url") {
            return reader.refuse(
                "auth_url",
                "is not set",
                "write cloud = NAME of a clouds.yaml, or auth_url",
            );
        }
        let mut fields = Fields::default();
        for (field, value) in written {
            fields.set(field, value);
        }
        return login(reader, fields);
    }
    let name = reader.text("cloud")?;
    let clouds = match Clouds::find(&variables(file)) {
        Ok(clouds) => clouds,
        Err(error) => {
            return reader.refuse("cloud", &error.to_string(), "or write auth_url and a login here");
        }
    };
    for file in clouds.secret_files(&name) {
        reader.warn_of_open("cloud", file, "a secret");
    }
    match clouds.cloud(&name, &written) {
        Ok(cloud) => Some(cloud),
        Err(error @ CloudsError::NoCloud { .. }) => {
            let near = nearest(&name, clouds.names()).map(str::to_owned);
            let refusal = typed::ValueRefusal::new(error.to_string(), "name one of them");
            reader.refused("cloud", typed::ValueRefusal { suggestion: near, ..refusal })
        }
        Err(error) => reader.refuse("cloud", &error.to_string(), "or name one that is complete"),
    }
}

pub fn content(name: &str, file: Option<PathBuf>) -> Option<Vec<u8>> {
    Clouds::find(&variables(file)).ok()?.content(name)
}

/// Checks a login and reports all of its faults: a dummy value replaces each faulty value, so that
/// the next fault is found.
fn login(reader: &mut SectionReader<'_>, mut fields: Fields) -> Option<CloudConf> {
    let mut said: Vec<&str> = Vec::new();
    loop {
        let error = match CloudConf::from_fields(&fields) {
            Ok(conf) => return said.is_empty().then_some(conf),
            Err(error) => error,
        };
        if said.contains(&error.option) {
            return None;
        }
        let option = LOGIN.iter().find(|(_, field)| *field == error.option);
        let option = option.map_or(error.option, |(option, _)| option);
        reader.refuse::<()>(option, &error.problem, &error.allowed);
        let right = match error.option {
            "auth_url" => "http://keystone/v3",
            "auth_type" | "application_credential_name" => return None,
            "interface" => "public",
            "system_scope" => "all",
            "verify" => "true",
            _ => "x",
        };
        fields.set(error.option, right.to_owned());
        said.push(error.option);
    }
}

fn variables(file: Option<PathBuf>) -> CloudVariables {
    let of_process = CloudVariables::from_process();
    match file {
        None => of_process,
        Some(file) => CloudVariables {
            working: file.parent().map(PathBuf::from),
            config_file: Some(file),
            home: of_process.home,
            ..CloudVariables::default()
        },
    }
}
