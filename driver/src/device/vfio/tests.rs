//! Messages from trees of files like the kernel's, and lending with files that stand for devices. The calls themselves
//! run in guests with real kernels.

use std::fs;
use std::io::{Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::address::PciAddress;
use super::group::Group;
use super::lend::{Lender, borrow, socket_path};
use super::sysfs::{Facts, Roots};
use super::users::users_of;
use super::window_area;
use crate::error::{Error, ErrorKind};
use crate::sys::file::memory_file;

/// A directory that looks like /sys, /dev, /proc and /run/csm. Gone when dropped.
struct Machine(PathBuf);

impl Machine {
    fn new(test: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("csm-vfio-{}-{test}", std::process::id()));
        let this = Self(dir);
        for part in ["sys/bus/pci/devices", "sys/bus/pci/drivers", "dev/vfio", "proc", "run"] {
            fs::create_dir_all(this.0.join(part)).expect("mkdir");
        }
        this
    }

    fn roots(&self) -> Roots {
        let at = |part| self.0.join(part);
        Roots { sys: at("sys"), dev: at("dev"), proc: at("proc"), run: at("run") }
    }

    fn device(&self, name: &str, group: Option<u32>, driver: Option<&str>) -> PathBuf {
        let dir = self.0.join("sys/bus/pci/devices").join(name);
        fs::create_dir_all(&dir).expect("mkdir");
        fs::write(dir.join("vendor"), "0x1af4\n").expect("write");
        fs::write(dir.join("device"), "0x1110\n").expect("write");
        if let Some(group) = group {
            let members = self.0.join(format!("sys/kernel/iommu_groups/{group}/devices"));
            fs::create_dir_all(&members).expect("mkdir");
            symlink(members.parent().expect("group"), dir.join("iommu_group")).expect("link");
            symlink(&dir, members.join(name)).expect("link");
        }
        if let Some(driver) = driver {
            let there = self.0.join("sys/bus/pci/drivers").join(driver);
            fs::create_dir_all(&there).expect("mkdir");
            symlink(there, dir.join("driver")).expect("link");
        }
        dir
    }

    fn facts(&self, address: &str) -> Result<Facts, Error> {
        Facts::read(&self.roots(), address.parse().expect("an address"))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn refused(facts: Result<Facts, Error>, kind: ErrorKind, parts: &[&str]) {
    let e = facts.expect_err("must be refused");
    assert_eq!(e.kind(), kind, "{e}");
    for part in parts {
        assert!(e.message().contains(part), "{part:?} is not in: {e}");
    }
}

#[test]
fn a_device_that_is_not_there_is_named_with_those_that_could_be_meant() {
    let machine = Machine::new("absent");
    refused(
        machine.facts("0000:01:00.0"),
        ErrorKind::RegionNotFound,
        &["no PCI device 0000:01:00.0", "lspci -D"],
    );
    machine.device("0000:02:00.0", Some(3), Some("vfio-pci"));
    refused(machine.facts("0000:01:00.0"), ErrorKind::RegionNotFound, &["VFIO has 0000:02:00.0"]);
}

#[test]
fn without_an_iommu_it_says_how_to_turn_it_on() {
    let machine = Machine::new("no-iommu");
    machine.device("0000:01:00.0", None, Some("vfio-pci"));
    refused(machine.facts("0000:01:00.0"), ErrorKind::Unsupported, &["in no IOMMU group", "IOMMU is off"]);
}

#[test]
fn a_device_of_another_driver_is_shown_with_its_group_and_the_commands() {
    let machine = Machine::new("driver");
    machine.device("0000:01:00.0", Some(7), Some("nvme"));
    machine.device("0000:01:00.1", Some(7), Some("snd_hda_intel"));
    machine.device("0000:01:00.2", Some(7), None);
    machine.device("0000:00:1c.0", Some(7), Some("pcieport"));
    let e = machine.facts("0000:01:00.0").expect_err("must be refused");
    assert_eq!(e.kind(), ErrorKind::InUse);
    let told = "\
PCI device 0000:01:00.0 is held by nvme, and must be bound to vfio-pci. IOMMU group 7:
  0000:00:1c.0 1af4:1110 pcieport
  0000:01:00.0 1af4:1110 nvme
  0000:01:00.1 1af4:1110 snd_hda_intel
  0000:01:00.2 1af4:1110 no driver
To bind, as root (the system loses the device; another driver gives it up when it can):
  modprobe vfio-pci
  echo vfio-pci > /sys/bus/pci/devices/0000:01:00.0/driver_override
  echo 0000:01:00.0 > /sys/bus/pci/devices/0000:01:00.0/driver/unbind
  echo 0000:01:00.0 > /sys/bus/pci/drivers_probe
  echo vfio-pci > /sys/bus/pci/devices/0000:01:00.1/driver_override
  echo 0000:01:00.1 > /sys/bus/pci/devices/0000:01:00.1/driver/unbind
  echo 0000:01:00.1 > /sys/bus/pci/drivers_probe";
    assert_eq!(e.message(), told);
}

#[test]
fn a_device_without_driver_needs_no_unbinding() {
    let machine = Machine::new("unbound");
    machine.device("0000:01:00.0", Some(7), None);
    let e = machine.facts("0000:01:00.0").expect_err("must be refused");
    assert!(e.message().contains("has no driver") && e.message().contains("drivers_probe"), "{e}");
    assert!(!e.message().contains("unbind"), "{e}");
}

#[test]
fn vfio_s_own_and_variant_drivers_will_do_and_a_neighbour_s_driver_is_the_kernel_s_to_refuse() {
    let machine = Machine::new("viable");
    machine.device("0000:01:00.0", Some(7), Some("vfio-pci"));
    machine.device("0000:01:00.1", Some(7), Some("e1000e"));
    machine.device("0000:02:00.0", Some(8), Some("mlx5_vfio_pci"));
    let unnamed = machine.device("0000:03:00.0", Some(9), Some("somebody_s"));
    let facts = machine.facts("0000:01:00.0").expect("bound");
    assert_eq!(facts.group, 7);
    let address = |text: &str| text.parse::<PciAddress>().expect(text);
    assert!(facts.has(address("0000:01:00.0")) && !facts.has(address("0000:01:00.1")));
    refused(
        Err(facts.not_viable()),
        ErrorKind::InUse,
        &["group 7 is not VFIO's alone", "0000:01:00.1 1af4:1110 e1000e", "0000:01:00.1/driver/unbind"],
    );
    assert!(!facts.not_viable().message().contains("0000:01:00.0/driver/unbind"));
    let variant = machine.facts("0000:02:00.0").expect("a variant");
    assert_eq!((variant.group, variant.variant()), (8, Some("mlx5_vfio_pci")));
    assert_eq!(facts.variant(), None);
    refused(machine.facts("0000:03:00.0"), ErrorKind::InUse, &["held by somebody_s"]);
    fs::create_dir(unnamed.join("vfio-dev")).expect("mkdir");
    assert_eq!(machine.facts("0000:03:00.0").expect("the kernel says so").group, 9);
}

#[test]
fn a_container_or_group_that_does_not_open_says_what_to_load_or_whom_to_ask() {
    let machine = Machine::new("open");
    machine.device("0000:01:00.0", Some(7), Some("vfio-pci"));
    let facts = machine.facts("0000:01:00.0").expect("bound");
    let e = Group::open(&machine.roots(), &facts).expect_err("no container");
    assert_eq!((e.kind(), e.errno()), (ErrorKind::Unsupported, libc::ENOENT));
    assert!(e.message().contains("modprobe vfio_iommu_"), "{e}");

    let path = facts.group_path(&machine.roots());
    let e = facts.explain(&path, Error::system("open", libc::ENOENT));
    assert!(e.message().contains("CONFIG_VFIO_GROUP"), "{e}");
    fs::write(&path, "").expect("write");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("chmod");
    let e = facts.explain(&path, Error::system("open", libc::EACCES));
    assert_eq!(e.kind(), ErrorKind::PermissionDenied);
    assert!(e.message().contains("mode 0640") && e.message().contains("chmod 0660"), "{e}");

    // A file that is no VFIO container: the failing call is named.
    fs::write(machine.0.join("dev/vfio/vfio"), "").expect("write");
    let e = Group::open(&machine.roots(), &facts).expect_err("no container");
    assert_eq!(e.errno(), libc::ENOTTY);
    assert!(e.message().contains("ioctl(VFIO_GET_API_VERSION)"), "{e}");

    let e = facts.explain_iommu(Error::system("ioctl", libc::EPERM));
    assert!(e.message().contains("allow_unsafe_interrupts=1"), "{e}");
}

#[test]
fn who_has_a_group_is_found_by_their_descriptors() {
    let machine = Machine::new("users");
    assert!(users_of(&machine.roots(), 7).contains("fuser -v /dev/vfio/7"));
    let process = |pid: &str, comm: &str, link: &str| {
        let fds = machine.0.join("proc").join(pid).join("fd");
        fs::create_dir_all(&fds).expect("mkdir");
        fs::write(fds.parent().expect("process").join("comm"), format!("{comm}\n")).expect("write");
        symlink(link, fds.join("3")).expect("link");
    };
    process("20", "reader", "anon_inode:[vfio-device]");
    process("21", "other", "/dev/vfio/77");
    assert_eq!(
        users_of(&machine.roots(), 7),
        "process 20 (reader) has a VFIO device open, perhaps lent to it once"
    );
    process("10", "qemu", "/dev/vfio/7");
    assert_eq!(users_of(&machine.roots(), 7), "process 10 (qemu) has it open");
}

#[test]
fn a_window_lies_in_what_can_be_mapped() {
    let mib = 1 << 20;
    assert_eq!(window_area(mib, std::slice::from_ref(&(0..mib)), 0x1000), Ok(0..mib));
    let around = [0..0x2000, 0x3000..mib];
    assert_eq!(window_area(mib, &around, 0x3000), Ok(0x3000..mib));
    let what = window_area(mib, &around, 0x2000).expect_err("the MSI-X table");
    assert!(what.contains("offset 0x2000") && what.contains("off=0x3000&len=0xfd000"), "{what}");
    assert!(window_area(0, &[], 0).expect_err("none").contains("is not there"));
    assert!(window_area(256, &[], 0).expect_err("small").contains("less than a page"));
}

/// A holder whose device is a file with `text` in it.
fn lend(machine: &Machine, like: &Path, text: &'static str) -> Lender {
    let path = socket_path(&machine.roots().run, 7);
    let opener = move |address: PciAddress| {
        if address.to_string() != "0000:01:00.0" {
            return Err(Error::new(ErrorKind::InvalidArgument, format!("{address} is not in group 7")));
        }
        let mut file = memory_file(0);
        file.write_all(text.as_bytes()).expect("write");
        Ok(OwnedFd::from(file))
    };
    Lender::start(path, like, Box::new(opener)).expect("lender")
}

/// The borrowers, once they are as many as `count`: the lender notices an end by itself.
fn borrowers(lender: &Lender, count: usize) -> Vec<super::Borrower> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let all = lender.borrowers();
        if all.len() == count {
            return all;
        }
        assert!(Instant::now() < deadline, "still {all:?}");
        std::thread::yield_now();
    }
}

#[test]
fn a_holder_lends_and_knows_who_has_what() {
    let machine = Machine::new("lend");
    let address: PciAddress = "0000:01:00.0".parse().expect("address");
    let path = socket_path(&machine.roots().run, 7);
    assert!(borrow(&path, address).expect("nobody").is_none());

    let lender = lend(&machine, Path::new("/nowhere"), "the device");
    let (device, connection) = borrow(&path, address).expect("lent").expect("a holder");
    let mut text = String::new();
    let mut device = fs::File::from(device);
    device.rewind().expect("seek");
    device.read_to_string(&mut text).expect("read");
    assert_eq!(text, "the device");

    let e = borrow(&path, "0000:02:00.0".parse().expect("address")).expect_err("not in the group");
    assert_eq!(e.kind(), ErrorKind::InUse);
    assert!(e.message().contains("0000:02:00.0 is not in group 7"), "{e}");

    let me = i32::try_from(std::process::id()).expect("pid");
    let having = borrowers(&lender, 1);
    assert_eq!((having[0].pid, having[0].device), (me, Some(address)));
    drop(connection);
    assert_eq!(borrowers(&lender, 0), []);

    drop(lender);
    assert!(!path.exists());
    assert!(borrow(&path, address).expect("gone").is_none());
}

#[test]
fn what_a_dead_holder_left_is_replaced() {
    let machine = Machine::new("stale");
    let path = socket_path(&machine.roots().run, 7);
    drop(std::os::unix::net::UnixListener::bind(&path).expect("bind"));
    assert!(path.exists());
    let lender = lend(&machine, Path::new("/nowhere"), "new");
    assert!(borrow(&path, "0000:01:00.0".parse().expect("address")).expect("lent").is_some());
    drop(lender);
}

#[test]
fn the_socket_is_the_holder_s_alone_unless_the_group_s_file_says_otherwise() {
    let machine = Machine::new("mode");
    let mode = |path: &Path| path.symlink_metadata().expect("stat").permissions().mode() & 0o777;
    let group = machine.0.join("dev/vfio/7");
    fs::write(&group, "").expect("write");
    for (given, expected) in [(0o600, 0o600), (0o660, 0o660), (0o666, 0o666)] {
        fs::set_permissions(&group, fs::Permissions::from_mode(given)).expect("chmod");
        let lender = lend(&machine, &group, "");
        assert_eq!(mode(lender.path()), expected);
    }
}

#[test]
fn a_client_that_says_something_else_is_told_so_and_harms_nobody() {
    use std::os::fd::AsFd;

    use crate::sys::packet;
    let machine = Machine::new("garbage");
    let lender = lend(&machine, Path::new("/nowhere"), "");
    let client = packet::connect_to(lender.path()).expect("connect");
    for (request, answer) in
        [(&b"csm-vfio-2 0000:01:00.0"[..], "another version"), (b"csm-vfio-1 \xff", "is not the address")]
    {
        packet::send(client.as_fd(), request, None).expect("send");
        let mut bytes = [0; 256];
        let (len, fd) = packet::receive(client.as_fd(), &mut bytes).expect("receive");
        let text = String::from_utf8_lossy(&bytes[..len]);
        assert!(text.contains(answer) && fd.is_none(), "{text}");
    }
    drop(client);
    let address = "0000:01:00.0".parse().expect("address");
    assert!(borrow(lender.path(), address).expect("lent").is_some());
}
