//! Encoding and decoding of one message of 1 KiB.

use bench::work::Message;
use criterion::{Criterion, criterion_group, criterion_main};

fn payload(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("payload");
    let mut message = Message::default();
    group.bench_function("encode 1 KiB", |bencher| bencher.iter(|| message.encode()));
    group.bench_function("decode 1 KiB", |bencher| bencher.iter(|| message.decode()));
    group.finish();
}

criterion_group!(benches, payload);
criterion_main!(benches);
