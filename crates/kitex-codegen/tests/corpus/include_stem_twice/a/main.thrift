namespace go am
include "../b/main.thrift"
struct T { 1: main.U u }
