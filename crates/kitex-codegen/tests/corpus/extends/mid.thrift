namespace go rr
include "base.thrift"
service Mid extends base.Base { void Mine(1: base.T t) throws (1: base.E e) }
