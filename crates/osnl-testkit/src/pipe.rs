use std::io;
use std::net::{Shutdown, TcpStream};

pub(crate) fn pipe(here: &TcpStream, there: &TcpStream) -> io::Result<()> {
    let (from, to) = (there.try_clone()?, here.try_clone()?);
    let back = std::thread::spawn(move || copy(from, to));
    copy(here.try_clone()?, there.try_clone()?);
    let _ = back.join();
    Ok(())
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
