use std::sync::LazyLock;

use osnl::native::Drivers;
use osnl_action::driver::DriverEntry;

use crate::oss::python::PythonConf;
use crate::oss::rest::OssRestConf;

static ALL: LazyLock<Drivers> = LazyLock::new(|| {
    let rest = Drivers::default().with("http", DriverEntry::for_conf::<OssRestConf>());
    rest.with("exec", DriverEntry::for_conf::<PythonConf>())
});

#[must_use]
pub fn drivers() -> Drivers {
    *ALL
}
