//! The process itself, where only the C library reaches: local time, going into the background, its title, its limits.
//!
//! Everything here runs before the first thread starts, except [`local_time`], [`open_files`] and [`set_title`], which
//! may run at any time.
#![allow(unsafe_code)] // fork, setsid, dup2, localtime_r, prctl, rlimits and argv have no safe form in std

use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Mutex;

/// A moment by the calendar and clock of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTime {
    /// The year, such as 2026.
    pub year: i32,
    /// The month from 0.
    pub month: usize,
    /// The day of the month from 1.
    pub day: i32,
    /// The hour.
    pub hour: i32,
    /// The minute.
    pub minute: i32,
    /// The second.
    pub second: i32,
}

/// The local time of a Unix time in seconds.
pub fn local_time(unix_s: i64) -> LocalTime {
    // SAFETY: all fields of `tm` are numbers or a pointer, for which zero is a value; `localtime_r` writes only to it.
    let tm = unsafe {
        let mut tm: libc::tm = std::mem::zeroed();
        libc::localtime_r(&unix_s, &mut tm);
        tm
    };
    LocalTime {
        year: tm.tm_year + 1900,
        month: tm.tm_mon as usize,
        day: tm.tm_mday,
        hour: tm.tm_hour,
        minute: tm.tm_min,
        second: tm.tm_sec,
    }
}

/// Goes on in the background: a new process in a session of its own, without a terminal. The old one ends here.
pub fn daemonize() -> io::Result<()> {
    // SAFETY: no thread has been started, so the child holds everything the parent held, unlocked.
    match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        0 => {}
        _ => std::process::exit(0),
    }
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    // SAFETY: plain system calls on descriptors that are open.
    unsafe {
        libc::setsid();
        for standard in [libc::STDIN_FILENO, libc::STDOUT_FILENO, libc::STDERR_FILENO] {
            libc::dup2(null.as_raw_fd(), standard);
        }
    }
    Ok(())
}

/// Stops until somebody sends SIGCONT: how upstart learns that we are ready.
pub fn stop_self() {
    // SAFETY: a signal to ourselves.
    unsafe { libc::raise(libc::SIGSTOP) };
}

/// Whether the kernel uses transparent huge pages for programs that did not ask for them.
pub fn huge_pages_unasked() -> bool {
    let mode = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
    mode.is_ok_and(|mode| mode.contains("[always]"))
}

/// Keeps the kernel from using transparent huge pages for this process.
pub fn disable_huge_pages() -> io::Result<()> {
    // SAFETY: this option takes plain numbers.
    match unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// How many files may be open now.
pub fn open_files() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: writes only to `limit`.
    match unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } {
        0 => limit.rlim_cur,
        _ => 1024,
    }
}

/// Lets as many as `want` files be open, or as many of that as the system grants. Returns how many it now are.
pub fn raise_open_files(want: u64) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls touch only `limit` and the asked one.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) != 0 || limit.rlim_cur >= want {
            return open_files();
        }
        let whole = libc::rlimit { rlim_cur: want, rlim_max: limit.rlim_max.max(want) };
        if libc::setrlimit(libc::RLIMIT_NOFILE, &whole) != 0 {
            let allowed = libc::rlimit { rlim_cur: want.min(limit.rlim_max), rlim_max: limit.rlim_max };
            libc::setrlimit(libc::RLIMIT_NOFILE, &allowed);
        }
    }
    open_files()
}

/// The memory where the kernel put arguments and environment, as an address and a length: the title goes there.
static TITLE_AREA: Mutex<Option<(usize, usize)>> = Mutex::new(None);

/// Makes room for a title: moves the environment away from behind the arguments. Call it once, before any thread, and
/// after the arguments were read, because the title will overwrite them.
pub fn prepare_title() {
    let Some((start, end)) = argument_area() else { return };
    for (name, value) in std::env::vars_os() {
        // SAFETY: no other thread runs. Setting a variable, even to its own value, copies it to memory of its own.
        unsafe { std::env::set_var(name, value) };
    }
    *TITLE_AREA.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some((start, end - start));
}

/// Sets what `ps` shows, cut to the room there is. Without [`prepare_title`] it does nothing.
pub fn set_title(title: &str) {
    let area = TITLE_AREA.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let Some((start, len)) = *area else { return };
    let shown = &title.as_bytes()[..title.len().min(len - 1)];
    // SAFETY: the area is the process's own stack above `main`, writable, and since `prepare_title` nothing reads it;
    // the lock keeps writers apart; a zero ends the title and the rest.
    unsafe {
        let area = start as *mut u8;
        std::ptr::write_bytes(area, 0, len);
        std::ptr::copy_nonoverlapping(shown.as_ptr(), area, shown.len());
    }
}

/// Where arguments begin and the environment ends: fields 48 and 51 of `/proc/self/stat`.
fn argument_area() -> Option<(usize, usize)> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field, the program's name, may itself hold blanks and ends with the last parenthesis.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let address = |number: usize| fields.get(number - 3)?.parse::<usize>().ok();
    let (start, end) = (address(48)?, address(51)?);
    (start != 0 && start < end).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calendar_of_a_known_day() {
        let noon = local_time(1_000_000_000);
        assert_eq!((noon.year, noon.month), (2001, 8));
        assert!((8..=9).contains(&noon.day));
        assert_eq!(noon.second, 40);
    }

    #[test]
    fn the_argument_area_holds_the_program_name() {
        let (start, end) = argument_area().expect("there is a /proc");
        assert!(end > start && end - start < 64 << 20);
    }
}
