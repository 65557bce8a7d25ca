//! Which account runs Postgres: it refuses to run as root, so root hands it to `postgres`.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// The account that runs the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// The one that runs this server.
    Own,
    /// Another one, because this server runs as root.
    Other {
        /// Its user id.
        uid: u32,
        /// Its group id.
        gid: u32,
    },
}

impl Account {
    /// The account to use; `None` when running as root and there is no user `postgres`.
    pub fn choose() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return Some(Account::Own);
        }
        find_user(&fs::read_to_string("/etc/passwd").ok()?, "postgres")
    }

    /// A command that runs as this account, in its own process group so that Ctrl-C in a terminal
    /// reaches the server alone and the database goes down after it.
    pub fn command(self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir("/").stdin(Stdio::null()).process_group(0);
        if let Account::Other { uid, gid } = self {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Makes a directory that only this account (and root) can enter.
    pub fn make_private(self, directory: &Path) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        match self {
            Account::Own => Ok(()),
            Account::Other { uid, gid } => chown(directory, Some(uid), Some(gid)),
        }
    }

    /// Whether this account can enter a directory; it may not pass a parent such as `/root`.
    pub fn can_enter(self, directory: &Path) -> bool {
        match self {
            Account::Own => true,
            Account::Other { .. } => self
                .command(Path::new("/bin/sh"))
                .args(["-c", "cd -- \"$1\"", "sh"])
                .arg(directory)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success()),
        }
    }
}

/// The ids of a user in the text of `/etc/passwd`.
fn find_user(passwd: &str, name: &str) -> Option<Account> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some(Account::Other { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_found_by_its_whole_name() {
        let passwd =
            "root:x:0:0::/:/bin/sh\npostgresql:x:7:8::/:/bin/sh\npostgres:x:101:104:,,,:/var:/bin/bash\n";
        assert_eq!(find_user(passwd, "postgres"), Some(Account::Other { uid: 101, gid: 104 }));
        assert_eq!(find_user(passwd, "nobody"), None);
    }
}
