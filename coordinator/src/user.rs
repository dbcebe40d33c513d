//! Who uses this command: the owner of what it submits.

use swath_model::label::check_owner;

use crate::cli::environment;
use crate::client::failure::{Failure, Outcome};

/// The name in `SWATH_USER`, else the login name, else nothing.
pub(crate) fn name() -> Outcome<String> {
    let set = |variable: &str| {
        let value = std::env::var(variable).ok();
        value.filter(|value| !value.is_empty())
    };
    if let Some(name) = set(environment::USER) {
        let wrong = |error| Failure::usage(format!("{}: {error}", environment::USER));
        check_owner(&name).map_err(wrong)?;
        return Ok(name);
    }
    let login = set("LOGNAME").or_else(|| set("USER")).or_else(listed);
    Ok(login
        .filter(|it| check_owner(it).is_ok())
        .unwrap_or_default())
}

/// The login name of this process's user, as the system's list has it: a
/// container often sets no variable.
fn listed() -> Option<String> {
    let list = std::fs::read_to_string("/etc/passwd").ok()?;
    let own = rustix::process::getuid().as_raw().to_string();
    login_of(&list, &own)
}

fn login_of(list: &str, own: &str) -> Option<String> {
    list.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (login, id) = (fields.next()?, fields.nth(1)?);
        (id == own).then(|| login.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::login_of;

    #[test]
    fn a_user_is_found_by_number() {
        let list = "root:x:0:0:root:/root:/bin/sh\n#\nanna:x:1000:100::/home/anna:/bin/sh\n";
        assert_eq!(login_of(list, "1000").as_deref(), Some("anna"));
        assert_eq!(login_of(list, "0").as_deref(), Some("root"));
        assert_eq!(login_of(list, "100"), None);
    }
}
