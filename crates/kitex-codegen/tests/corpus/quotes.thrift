namespace go rr
const string A = 'a"b'
const string B = "a'b"
const string C = "a\"b"
const string D = 'a\'b'
const string E = "tab\tnl\nbs\\"
struct S { 1: string a = '{"k": "v"}', 2: string b = "\\d+" , 3: string c = "%s %d {} {{}}"}
