namespace go same
include "first.thrift"
struct Second { 1: first.First f }
service SecondService { Second M(1: first.First f) (streaming.mode = "client") }
