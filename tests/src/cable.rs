//! A cable between a worker and the database, or a bucket, that can be cut as networks are: nothing comes through, and
//! nobody gets an error. What was sent meanwhile arrives when it is mended.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// The cable. Its threads end with the test's process.
pub struct Cable {
    /// Where its near end is.
    address: SocketAddr,
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
        Self::lay_to(move || UnixStream::connect(&socket))
    }

    /// Lays a cable to a server that listens on TCP.
    ///
    /// # Panics
    /// Without a free port.
    #[must_use]
    pub fn lay_to_address(address: SocketAddr) -> Self {
        Self::lay_to(move || TcpStream::connect(address))
    }

    fn lay_to<W: Wire>(connect: impl Fn() -> io::Result<W> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                shared.wait();
                let Ok(far) = connect() else { continue };
                let (Ok(near_too), Ok(far_too)) = (near.twin(), far.twin()) else { continue };
                let (there, back) = (Arc::clone(&shared), Arc::clone(&shared));
                std::thread::spawn(move || pass(near, far, &there));
                std::thread::spawn(move || pass(far_too, near_too, &back));
            }
        });
        Self { address, state }
    }

    /// The database at its end.
    #[must_use]
    pub fn database_url(&self) -> String {
        format!("postgres://qponder@{}/qponder?sslmode=disable", self.address)
    }

    /// The address that stands for the server at its end.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
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

/// A connection.
trait Wire: Read + Write + Send + Sized + 'static {
    fn twin(&self) -> io::Result<Self>;
    fn hang_up(&self);
}

impl Wire for UnixStream {
    fn twin(&self) -> io::Result<Self> {
        self.try_clone()
    }

    fn hang_up(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

impl Wire for TcpStream {
    fn twin(&self) -> io::Result<Self> {
        self.try_clone()
    }

    fn hang_up(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

/// Passes bytes on, as long as the cable is whole, until one end closes.
fn pass(mut from: impl Wire, mut to: impl Wire, state: &State) {
    let mut bytes = [0; 1 << 14];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        state.wait();
        if to.write_all(&bytes[..length]).is_err() {
            break;
        }
    }
    to.hang_up();
}
