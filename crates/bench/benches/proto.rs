//! One message from a connection to its peer, with few and with many streams open.

use bench::work::Pair;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

fn proto(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("proto");
    for streams in [1, 100, 10_000] {
        let mut pair = Pair::new(streams);
        group.bench_function(BenchmarkId::new("message 1 KiB, streams", streams), |bencher| {
            bencher.iter(|| pair.message());
        });
    }
    let mut pair = Pair::new(1);
    group.bench_function("open and cancel", |bencher| bencher.iter(|| pair.open_and_cancel()));
    group.finish();
}

criterion_group!(benches, proto);
criterion_main!(benches);
