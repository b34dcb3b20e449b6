//! Encoding and decoding of headers.

use bench::work::{DataHeader, HeaderFrame};
use criterion::{Criterion, criterion_group, criterion_main};

fn codec(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("codec");
    let mut data = DataHeader::default();
    group.bench_function("decode data header", |bencher| bencher.iter(|| data.decode()));
    group.bench_function("encode data header", |bencher| bencher.iter(|| data.encode()));
    group.bench_function("encode data header, pair by pair", |bencher| bencher.iter(|| data.encode_pairs()));
    let mut frame = HeaderFrame::default();
    group.bench_function("decode header frame", |bencher| bencher.iter(|| frame.decode()));
    group.bench_function("encode header frame", |bencher| bencher.iter(|| frame.encode()));
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
