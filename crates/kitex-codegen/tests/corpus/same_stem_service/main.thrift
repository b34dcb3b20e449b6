namespace go x
include "u/types.thrift"
include "v/types.thrift"
const i32 A = types.X
const types.E B = types.E.Y
service S extends types.Base { types.T M(1: types.T t) throws (1: types.Err e) }
