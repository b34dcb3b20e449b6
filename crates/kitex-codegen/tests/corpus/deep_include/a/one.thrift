namespace go x.one
include "b/two.thrift"
struct One { 1: two.Two t }
