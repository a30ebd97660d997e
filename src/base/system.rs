//! What the kernel knows of this process and machine: memory, CPU time, names. Read from `/proc` when asked; where there
//! is no `/proc`, numbers are 0 and names are empty.
#![allow(unsafe_code)] // getrusage, sysconf and poll have no safe form in std; that of clock_gettime takes twice as long

use super::num::parse_i64;
use smallvec::SmallVec;
use std::fs::{File, read_to_string};
use std::os::unix::fs::FileExt;

/// The kernel's monotonic clock in nanoseconds, for what reads it with every command.
#[inline]
pub fn monotonic_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes one timespec, which is there; the clock exists on every system, so it cannot fail.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// The processor's time stamp counter; 0 where there is none that may be read.
#[inline]
pub fn counter() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: reads a register that every processor of this architecture has and Linux lets programs read.
    return unsafe { std::arch::x86_64::_rdtsc() };
    #[cfg(not(target_arch = "x86_64"))]
    return 0;
}

/// Whether the kernel keeps its time by the processor's counter.
pub fn keeps_time_by_counter() -> bool {
    let source = read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    source.is_ok_and(|source| source.trim() == "tsc")
}

/// How many of these sockets the other side has closed, whether that was read already or not. One system call. A number
/// that is no open file counts as closed, a negative one as open.
pub fn closed_by_peer(sockets: impl Iterator<Item = i32>) -> usize {
    let mut asked: SmallVec<[libc::pollfd; 16]> =
        sockets.map(|fd| libc::pollfd { fd, events: libc::POLLRDHUP, revents: 0 }).collect();
    // SAFETY: the kernel writes `revents` of as many entries as there are; a wait of 0 returns at once.
    let closed = unsafe { libc::poll(asked.as_mut_ptr(), asked.len() as libc::nfds_t, 0) };
    closed.max(0) as usize
}

/// Bytes of physical memory this process has.
pub fn resident_bytes() -> u64 {
    let statm = read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split_ascii_whitespace().nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * setting(libc::_SC_PAGESIZE)
}

/// Bytes of physical memory this machine has.
pub fn memory_bytes() -> u64 {
    let meminfo = read_to_string("/proc/meminfo").unwrap_or_default();
    let kib =
        meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix("kB")?.trim().parse().ok());
    kib.unwrap_or(0u64) * 1024
}

/// The system's name, release and machine, such as `Linux 6.1.0 x86_64`.
pub fn name() -> String {
    let read = |file: &str| read_to_string(format!("/proc/sys/kernel/{file}")).unwrap_or_default().trim().to_string();
    format!("{} {} {}", read("ostype"), read("osrelease"), std::env::consts::ARCH)
}

/// The full path of this program.
pub fn executable() -> String {
    std::env::current_exe().map_or_else(|_| String::new(), |path| path.to_string_lossy().into_owned())
}

/// CPU time in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// In the kernel.
    pub system_us: u64,
    /// In the program.
    pub user_us: u64,
}

/// CPU time of all threads of this process.
pub fn cpu_time() -> CpuTime {
    rusage(libc::RUSAGE_SELF)
}

/// CPU time of ended child processes.
pub fn cpu_time_of_children() -> CpuTime {
    rusage(libc::RUSAGE_CHILDREN)
}

/// CPU time of the main thread, in steps of the kernel's clock tick (10 ms).
pub fn cpu_time_of_main_thread() -> CpuTime {
    let stat = read_to_string(format!("/proc/self/task/{}/stat", std::process::id())).unwrap_or_default();
    // The second field, the thread's name, may itself hold blanks and ends with the last parenthesis.
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace().collect();
    let tick_us = 1_000_000 / setting(libc::_SC_CLK_TCK).max(1);
    let ticks = |number: usize| fields.get(number - 3).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    CpuTime { user_us: ticks(14) * tick_us, system_us: ticks(15) * tick_us }
}

/// The CPU clock of one thread.
#[derive(Clone, Copy, Debug)]
pub struct ThreadClock(libc::clockid_t);

impl ThreadClock {
    /// The clock of the thread that asks; `None` where threads have none.
    pub fn of_this_thread() -> Option<ThreadClock> {
        let mut id = 0;
        // SAFETY: a thread that runs is a valid thread; the call writes one number, which is there.
        let failed = unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &mut id) };
        (failed == 0).then_some(ThreadClock(id))
    }

    /// CPU time of the thread in nanoseconds; 0 when it has ended.
    pub fn nanos(self) -> u64 {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: writes one timespec, which is there, or fails, for a clock that is gone.
        unsafe { libc::clock_gettime(self.0, &mut time) };
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    }
}

/// How long one thread has been ready to run and had no core.
#[derive(Debug)]
pub struct ThreadWaits(File);

impl ThreadWaits {
    /// That of the thread that asks; `None` where the system does not tell.
    pub fn of_this_thread() -> Option<ThreadWaits> {
        File::open("/proc/thread-self/schedstat").ok().map(ThreadWaits)
    }

    /// Nanoseconds since the thread began; 0 when it has ended.
    pub fn nanos(&self) -> u64 {
        let mut text = [0; 64];
        let len = self.0.read_at(&mut text, 0).unwrap_or(0);
        let mut numbers = text[..len].split(|byte| *byte == b' ');
        // Time on a core, time without one, turns.
        numbers.nth(1).and_then(parse_i64).unwrap_or(0) as u64
    }
}

fn rusage(who: libc::c_int) -> CpuTime {
    // SAFETY: all fields are numbers, for which zero is a value; `getrusage` writes only to it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(who, &mut usage);
        usage
    };
    let micros = |time: libc::timeval| time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
    CpuTime { system_us: micros(usage.ru_stime), user_us: micros(usage.ru_utime) }
}

/// A number the system has for `name`; 0 when it has none.
fn setting(name: libc::c_int) -> u64 {
    // SAFETY: takes and gives plain numbers.
    unsafe { libc::sysconf(name) }.max(0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_closed_when_its_peer_is() {
        use std::os::fd::AsRawFd;
        let (here, there) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let (open, _peer) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let sockets = [here.as_raw_fd(), open.as_raw_fd(), -1];
        assert_eq!(closed_by_peer(sockets.into_iter()), 0);
        drop(there);
        assert_eq!(closed_by_peer(sockets.into_iter()), 1);
    }

    #[test]
    fn a_process_has_memory_and_a_name() {
        assert!(resident_bytes() > 1 << 20);
        assert!(memory_bytes() > resident_bytes());
        assert!(name().starts_with("Linux "));
        assert!(!executable().is_empty());
    }

    #[test]
    fn work_takes_cpu_time() {
        let before = cpu_time();
        let mut sum = 0u64;
        while cpu_time().user_us == before.user_us {
            sum = (0..10_000u64).fold(sum, |sum, n| std::hint::black_box(sum ^ n));
        }
        assert!(cpu_time().user_us > before.user_us);
        assert!(ThreadClock::of_this_thread().expect("a clock").nanos() > 0);
        assert!(ThreadWaits::of_this_thread().is_none_or(|waits| waits.nanos() < 60_000_000_000));
        assert!(cpu_time_of_main_thread().user_us <= cpu_time().user_us + 20_000);
    }
}
