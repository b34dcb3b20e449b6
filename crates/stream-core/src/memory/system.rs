//! The memory that the process may use: what its cgroup permits, and the machine has.

use std::fs;
use std::path::Path;

/// More is no limit: v1 has a number near 2^63 for none.
const NO_LIMIT: u64 = 1 << 60;

/// Returns the limit of the process's cgroup, or the machine's memory if there is none or that is less. `None`: neither is known,
/// as on systems other than Linux.
pub(super) fn limit() -> Option<usize> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = files(&own).filter_map(|path| parse(&fs::read_to_string(path).ok()?));
    let total = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    usize::try_from(limits.chain(total).min()?).ok()
}

/// Returns the files that may limit a process: those of its cgroup and of all above it. In a container its own cgroup may
/// be mounted as the root, so the files of the root are among them.
pub(super) fn files(own: &str) -> impl Iterator<Item = String> + '_ {
    own.lines().filter_map(|line| line.splitn(3, ':').skip(1).collect::<Vec<_>>().try_into().ok()).flat_map(
        |[controllers, path]: [&str; 2]| {
            let (root, file) = match controllers {
                "" => ("/sys/fs/cgroup", "memory.max"),
                _ => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            };
            let is_memory = controllers.is_empty() || controllers.split(',').any(|name| name == "memory");
            let above = Path::new(path).ancestors().filter(move |_| is_memory);
            above.map(move |path| match path.to_str().unwrap_or_default() {
                "/" => format!("{root}/{file}"),
                path => format!("{root}{path}/{file}"),
            })
        },
    )
}

pub(super) fn parse(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|limit| *limit < NO_LIMIT)
}

/// Returns the machine's memory, of the text of `/proc/meminfo`.
pub(super) fn total(text: &str) -> Option<u64> {
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    total.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}
