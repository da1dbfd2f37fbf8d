//! Bytes between two connections, until both sides have ended.

use std::io;
use std::net::{Shutdown, TcpStream};

/// Copies both ways; the end of one direction is passed on.
pub(crate) fn pipe(here: &TcpStream, there: &TcpStream) -> io::Result<()> {
    let (from, to) = (there.try_clone()?, here.try_clone()?);
    let back = std::thread::spawn(move || copy(from, to));
    copy(here.try_clone()?, there.try_clone()?);
    // A panic there has nothing to do with what this connection is asked for.
    let _ = back.join();
    Ok(())
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    // Either side may go at any time.
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
