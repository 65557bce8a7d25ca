//! A cable between a worker and the database that can be cut as networks are: nothing comes through, and nobody gets
//! an error. What was sent meanwhile arrives when it is mended.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// The cable. Its threads end with the test's process.
pub struct Cable {
    /// The database at its end.
    pub url: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    is_cut: Mutex<bool>,
    mended: Condvar,
}

impl State {
    fn set(&self, is_cut: bool) {
        *self.is_cut.lock().unwrap_or_else(PoisonError::into_inner) = is_cut;
        self.mended.notify_all();
    }

    /// Waits until the cable is whole.
    fn wait(&self) {
        let is_cut = self.is_cut.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.mended.wait_while(is_cut, |is_cut| *is_cut).unwrap_or_else(PoisonError::into_inner));
    }
}

impl Cable {
    /// Lays a cable to the embedded database of a running server.
    ///
    /// # Panics
    /// Without a free port.
    #[must_use]
    pub fn lay(data_dir: &Path) -> Self {
        let socket: PathBuf = data_dir.join("postgres/socket/.s.PGSQL.5432");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                shared.wait();
                let Ok(far) = UnixStream::connect(&socket) else { continue };
                let (Ok(near_too), Ok(far_too)) = (near.try_clone(), far.try_clone()) else { continue };
                let (there, back) = (Arc::clone(&shared), Arc::clone(&shared));
                std::thread::spawn(move || {
                    pass(&near, &far, &there);
                    let _ = far.shutdown(Shutdown::Both);
                });
                std::thread::spawn(move || {
                    pass(&far_too, &near_too, &back);
                    let _ = near_too.shutdown(Shutdown::Both);
                });
            }
        });
        Self { url: format!("postgres://qponder@{address}/qponder?sslmode=disable"), state }
    }

    /// Cuts it.
    pub fn cut(&self) {
        self.state.set(true);
    }

    /// Mends it.
    pub fn mend(&self) {
        self.state.set(false);
    }
}

/// Passes bytes on, as long as the cable is whole, until one end closes.
fn pass(mut from: impl Read, mut to: impl Write, state: &State) {
    let mut bytes = [0; 1 << 14];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        state.wait();
        if to.write_all(&bytes[..length]).is_err() {
            break;
        }
    }
}
