namespace go rr
const string A = "a\n\t\r\\ \" ' é \u00e9 \U0001F600 \x41 \101"
const string B = 'single \' "double" {brace} \\n'
const binary C = "\x00\xff\377"
const string D = "// no comment /* none */ # none"
const string E = ""
struct S { 1: string a = "\"", 2: string b = '\'', 3: string c = "{}", 4: map<string, string> d = {"\"": "\\"} }
// Docs with `ticks`, [brackets], <tags>, "quotes", \backslashes\ and stars
struct Documented {
  1: i32 a // behind "x"
  /** ```go
   * a[0] < b
   * ``` */
  2: i32 b
}
