//! The limit of the process's cgroup.

use std::fs;
use std::path::Path;

/// More is no limit: v1 has a number near 2^63 for none.
const NO_LIMIT: u64 = 1 << 60;

pub(super) fn limit() -> Option<usize> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limit = files(&own).filter_map(|path| parse(&fs::read_to_string(path).ok()?)).min()?;
    usize::try_from(limit).ok()
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
