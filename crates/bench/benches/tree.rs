//! The cancellation tree.

use bench::work::Tree;
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};

fn tree(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tree");
    let tree = Tree::default();
    group.bench_function("join and leave", |bencher| bencher.iter(|| tree.join_and_leave()));
    group.bench_function("child scope", |bencher| bencher.iter(|| tree.child()));
    for streams in [1, 1000] {
        group.bench_function(BenchmarkId::new("cancel streams", streams), |bencher| {
            bencher.iter_batched_ref(
                || tree.grow(streams),
                |grown| tree.cancel(grown),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, tree);
criterion_main!(benches);
