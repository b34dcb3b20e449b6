namespace go a.b
namespace rs c.d.e
include "o.thrift"
struct S { 1: o.T t }
service V { o.T M(1: S s) }
