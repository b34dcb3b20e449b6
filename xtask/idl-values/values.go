package main

import (
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"sort"
	"strings"
)

// shape is what an IDL says of a type: Go has one type for lists and sets, and for texts and bytes.
type shape struct {
	name  string
	parts []shape
}

// shapeOf reads a tag of Kitex's: "map<string:list<T>>".
func shapeOf(text string) shape {
	open := strings.IndexByte(text, '<')
	if open < 0 {
		return shape{name: text}
	}
	inner, parts, depth, from := text[open+1:len(text)-1], []shape{}, 0, 0
	for at := 0; at <= len(inner); at++ {
		switch {
		case at == len(inner) || (inner[at] == ':' && depth == 0):
			parts = append(parts, shapeOf(inner[from:at]))
			from = at + 1
		case inner[at] == '<':
			depth++
		case inner[at] == '>':
			depth--
		}
	}
	return shape{text[:open], parts}
}

type field struct {
	shape    shape
	optional bool
}

func fieldOf(of reflect.StructField) field {
	words := strings.SplitN(of.Tag.Get("frugal"), ",", 3)
	return field{shapeOf(words[2]), words[1] == "optional"}
}

// isResult says whether it is what a method returns: its value or one exception, each absent or there.
func isResult(of reflect.Type) bool {
	return strings.HasSuffix(of.Name(), "Result")
}

// isEmptyResult says whether it is a result without value and exception, of a method that has one.
func isEmptyResult(of any) bool {
	result := reflect.ValueOf(of).Elem()
	if !isResult(result.Type()) || result.NumField() == 0 || result.Type().Field(0).Name != "Success" {
		return false
	}
	return variants(result) == 0
}

func isUnion(of reflect.Type) bool {
	for at := 0; at < of.NumMethod(); at++ {
		if strings.HasPrefix(of.Method(at).Name, "CountSetFields") {
			return true
		}
	}
	return false
}

// isHashed says whether Rust has a hash of it: no double, set or map in it.
func isHashed(of reflect.Type, shape shape, seen map[reflect.Type]bool) bool {
	switch of.Kind() {
	case reflect.Float64, reflect.Map:
		return false
	case reflect.Pointer:
		return isHashed(of.Elem(), shape, seen)
	case reflect.Slice:
		return shape.name == "binary" || (shape.name != "set" && isHashed(of.Elem(), shape.parts[0], seen))
	case reflect.Struct:
		if seen[of] {
			return true
		}
		seen[of] = true
		for at := 0; at < of.NumField(); at++ {
			if !isHashed(of.Field(at).Type, fieldOf(of.Field(at)).shape, seen) {
				return false
			}
		}
	}
	return true
}

// withoutEmptyUnions makes those nil that have no variant: Kitex reads such and does not write them.
func withoutEmptyUnions(of reflect.Value) {
	switch of.Kind() {
	case reflect.Pointer:
		if of.IsNil() || of.Type().Elem().Kind() != reflect.Struct {
			return
		}
		if isUnion(of.Type()) && variants(of.Elem()) == 0 && of.CanSet() {
			of.SetZero()
			return
		}
		for at := 0; at < of.Elem().NumField(); at++ {
			withoutEmptyUnions(of.Elem().Field(at))
		}
	case reflect.Slice:
		for at := 0; at < of.Len(); at++ {
			withoutEmptyUnions(of.Index(at))
		}
	case reflect.Map:
		if of.IsNil() {
			return
		}
		// Anew, since no entry of a key that is NaN can be replaced.
		made := reflect.MakeMap(of.Type())
		for entries := of.MapRange(); entries.Next(); {
			value := reflect.New(of.Type().Elem()).Elem()
			value.Set(entries.Value())
			withoutEmptyUnions(entries.Key())
			withoutEmptyUnions(value)
			made.SetMapIndex(entries.Key(), value)
		}
		of.Set(made)
	}
}

// maker makes values.
type maker struct {
	random *rand.Rand
}

// levels of a value that hold anything; as many below hold only what must be there.
const levels = 5

func (m *maker) fill(of any) {
	made := reflect.ValueOf(of).Elem()
	if isResult(made.Type()) {
		m.variant(made, levels)
		return
	}
	m.fields(made, levels)
}

func (m *maker) fields(of reflect.Value, depth int) {
	if isUnion(of.Addr().Type()) {
		m.variant(of, depth)
		return
	}
	for at := 0; at < of.NumField(); at++ {
		field := fieldOf(of.Type().Field(at))
		if !field.optional || (depth > 0 && m.random.IntN(10) >= 4) {
			m.value(of.Field(at), field.shape, depth-1)
		}
	}
}

// variant sets one field of a union, and none of them where each would lie too deep.
func (m *maker) variant(of reflect.Value, depth int) {
	if of.NumField() == 0 {
		return
	}
	first := m.random.IntN(of.NumField())
	for step := 0; step < of.NumField(); step++ {
		at := (first + step) % of.NumField()
		m.value(of.Field(at), fieldOf(of.Type().Field(at)).shape, depth-1)
		if !of.Field(at).IsNil() {
			return
		}
	}
}

func (m *maker) value(of reflect.Value, shape shape, depth int) {
	switch of.Kind() {
	case reflect.Bool:
		of.SetBool(m.random.IntN(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		of.SetInt(m.number(of.Type()))
	case reflect.Float64:
		of.SetFloat(m.double())
	case reflect.String:
		of.SetString(m.text(shape.name == "binary"))
	case reflect.Pointer:
		m.pointer(of, shape, depth)
	case reflect.Slice:
		m.slice(of, shape, depth)
	case reflect.Map:
		m.entries(of, shape, depth)
	default:
		panic("no value of " + of.Type().String())
	}
}

func (m *maker) pointer(of reflect.Value, shape shape, depth int) {
	if of.Type().Elem().Kind() != reflect.Struct {
		made := reflect.New(of.Type().Elem())
		m.value(made.Elem(), shape, depth)
		of.Set(made)
		return
	}
	if depth <= -levels || m.random.IntN(60) == 0 {
		return
	}
	made := reflect.New(of.Type().Elem())
	if init, ok := made.Interface().(interface{ InitDefault() }); ok {
		init.InitDefault()
	}
	m.fields(made.Elem(), depth)
	if isUnion(made.Type()) && variants(made.Elem()) == 0 {
		return
	}
	of.Set(made)
}

func variants(of reflect.Value) (count int) {
	for at := 0; at < of.NumField(); at++ {
		if !of.Field(at).IsNil() {
			count++
		}
	}
	return count
}

func (m *maker) slice(of reflect.Value, shape shape, depth int) {
	if shape.name == "binary" {
		of.SetBytes([]byte(m.text(true)))
		return
	}
	count := m.count(depth)
	made := reflect.MakeSlice(of.Type(), count, count)
	for at := 0; at < count; at++ {
		m.value(made.Index(at), shape.parts[0], depth-1)
	}
	if shape.name == "set" && count > 1 && m.random.IntN(3) == 0 {
		made.Index(0).Set(made.Index(1))
	}
	of.Set(made)
}

func (m *maker) entries(of reflect.Value, shape shape, depth int) {
	made, seen := reflect.MakeMap(of.Type()), map[string]bool{}
	for left := m.count(depth); left > 0; left-- {
		key := reflect.New(of.Type().Key()).Elem()
		m.value(key, shape.parts[0], depth-1)
		// Go keeps two keys that are equal if they are pointers, and a peer with a hash one of them.
		if text := element(key, shape.parts[0]); !seen[text] {
			seen[text] = true
			value := reflect.New(of.Type().Elem()).Elem()
			m.value(value, shape.parts[1], depth-1)
			made.SetMapIndex(key, value)
		}
	}
	of.Set(made)
}

func (m *maker) count(depth int) int {
	if depth <= 0 {
		return 0
	}
	return m.random.IntN(4)
}

func (m *maker) number(of reflect.Type) int64 {
	bits := of.Bits()
	if _, ok := of.MethodByName("String"); ok {
		// An enum: its values are small, and others are unknown ones.
		if m.random.IntN(4) > 0 {
			return int64(m.random.IntN(16)) - 3
		}
		bits = 32
	}
	number := int64(m.random.Uint64()) >> (64 - bits)
	if m.random.IntN(4) == 0 {
		return []int64{0, 1, -1, 1<<(bits-1) - 1, -1 << (bits - 1)}[m.random.IntN(5)]
	}
	return number
}

func (m *maker) double() float64 {
	if m.random.IntN(3) == 0 {
		special := []float64{0, math.Copysign(0, -1), math.Inf(1), math.Inf(-1), math.MaxFloat64,
			math.SmallestNonzeroFloat64, math.NaN(), math.Float64frombits(0xfff8000000000123)}
		return special[m.random.IntN(len(special))]
	}
	return m.random.NormFloat64() * 1e6
}

var runes = []rune("az09 _\x00\n\"äß世界\U0001F980")

func (m *maker) text(isBinary bool) string {
	length := m.random.IntN(12)
	if m.random.IntN(20) == 0 {
		length = 500 + m.random.IntN(300)
	}
	var text strings.Builder
	for text.Len() < length {
		switch {
		case isBinary:
			text.WriteByte(byte(m.random.IntN(256)))
		default:
			text.WriteRune(runes[m.random.IntN(len(runes))])
		}
	}
	return text.String()
}

// shown is a text that is the same for equal values: entries and sets in order, doubles by their bits. Where a field
// is not optional Kitex writes nil as what is empty, so nil is shown as that too.
func shown(of any) string {
	return text(reflect.ValueOf(of).Elem(), field{optional: true})
}

func text(of reflect.Value, field field) string {
	switch of.Kind() {
	case reflect.Pointer:
		if of.IsNil() {
			return "nil"
		}
		return text(of.Elem(), field)
	case reflect.Struct:
		return record(of, field.optional)
	case reflect.Float64:
		return fmt.Sprintf("%x", math.Float64bits(of.Float()))
	case reflect.String:
		return fmt.Sprintf("%q", of.String())
	case reflect.Slice, reflect.Map:
		if of.IsNil() && field.optional {
			return "nil"
		}
		return container(of, field.shape)
	case reflect.Bool:
		return fmt.Sprint(of.Bool())
	default:
		return fmt.Sprint(of.Int())
	}
}

// ambiguous says that a map was shown with two keys that are equal structs: Go has both, and Rust the last.
var ambiguous bool

func element(of reflect.Value, shape shape) string {
	return text(of, field{shape: shape})
}

func record(of reflect.Value, optional bool) string {
	if isUnion(reflect.PointerTo(of.Type())) && variants(of) == 0 {
		return "nil"
	}
	shown := fields(of)
	if !optional {
		fresh := reflect.New(of.Type())
		if init, ok := fresh.Interface().(interface{ InitDefault() }); ok {
			init.InitDefault()
		}
		if shown == fields(fresh.Elem()) {
			return "nil"
		}
	}
	return shown
}

func fields(of reflect.Value) string {
	var texts []string
	for at := 0; at < of.NumField(); at++ {
		texts = append(texts, text(of.Field(at), fieldOf(of.Type().Field(at))))
	}
	return "(" + strings.Join(texts, " ") + ")"
}

func container(of reflect.Value, shape shape) string {
	var texts []string
	switch {
	case shape.name == "binary":
		return hex.EncodeToString(of.Bytes())
	case shape.name == "map":
		keys := map[string]bool{}
		for entries := of.MapRange(); entries.Next(); {
			key := element(entries.Key(), shape.parts[0])
			texts = append(texts, key+":"+element(entries.Value(), shape.parts[1]))
			ambiguous = ambiguous || (keys[key] && of.Type().Key().Kind() == reflect.Pointer)
			keys[key] = true
		}
		sort.Strings(texts)
		return "{" + strings.Join(texts, " ") + "}"
	}
	for at := 0; at < of.Len(); at++ {
		texts = append(texts, element(of.Index(at), shape.parts[0]))
	}
	if shape.name == "set" && isHashed(of.Type().Elem(), shape.parts[0], map[reflect.Type]bool{}) {
		sort.Strings(texts)
		texts = slices.Compact(texts)
	}
	return "[" + strings.Join(texts, " ") + "]"
}
