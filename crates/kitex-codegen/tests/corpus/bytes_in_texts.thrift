namespace go rr
const binary A = "\xff\377"
const string B = "\xe4\xbd\xa0"
