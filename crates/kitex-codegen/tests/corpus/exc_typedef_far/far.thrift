namespace go far
exception Error { 1: string message }
typedef Error Err
typedef Err Fault
