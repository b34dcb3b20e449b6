namespace go rr
struct listing { 1: i32 i32x, 2: string stringy, 3: i32 optionalx, 4: i32 requiredy, 5: listing mapper, 6: i64 constant, 7: i32 throwsx, 8: i32 voided, 9: bool boolean, 10: i32 setter, 11: i32 includes, 12: i32 namespaces }
struct structure {}
enum enumeration { enumx, constx }
union unions { 1: structure structs }
exception exceptional { 1: string exceptionx }
typedef listing mapping
typedef mapping settings
service services { mapping onewayx(1: settings voidx) throws (1: exceptional throwsy), void voidly(), listing listed() }
service extender extends services {}
