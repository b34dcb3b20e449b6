namespace go a
include "below.thrift"
struct b { 1: below.T t }
struct c {}
enum a { A }
service B { b M(1: c c) }
