namespace go type.self.crate.super.std.core.kitex.match
include "o.thrift"
struct S { 1: o.T t }
service V { o.T M(1: S s) }
const o.T X = {"a": 1}
