namespace go rr
const string A = "a
b
	c"
struct S { 1: string s = 'x
y' }
