namespace go x.one.two
include "c/three.thrift"
include "../../top.thrift"
struct Two { 1: three.Three t, 2: top.Top p }
