namespace go top
include "left.thrift"
include "../shared_diamond/right.thrift"
struct Top { 1: left.Left left, 2: right.Right right }
service TopService extends left.LeftService { Top Both(1: right.Right r) (streaming.mode = "server") }
