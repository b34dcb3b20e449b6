// Clients of health and reflection.
package main

import (
	"context"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// checkHealth asks for the server, for a service, and for one that is not known.
func checkHealth(ctx context.Context, conn *grpc.ClientConn) error {
	client := healthpb.NewHealthClient(conn)
	for _, service := range []string{"", "grpc.testing.TestService"} {
		answer, err := client.Check(ctx, &healthpb.HealthCheckRequest{Service: service})
		if err != nil || answer.Status != healthpb.HealthCheckResponse_SERVING {
			return fmt.Errorf("%q: %v %v", service, answer, err)
		}
	}
	_, err := client.Check(ctx, &healthpb.HealthCheckRequest{Service: "none"})
	if status.Code(err) != codes.NotFound {
		return fmt.Errorf("a service that is not known: %v", err)
	}
	return nil
}

// watchHealth prints each status until the stream ends.
func watchHealth(ctx context.Context, conn *grpc.ClientConn) error {
	stream, err := healthpb.NewHealthClient(conn).Watch(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		return err
	}
	for {
		answer, err := stream.Recv()
		if err != nil {
			fmt.Println("ended", status.Code(err))
			return nil
		}
		fmt.Println(answer.Status)
	}
}

// ask sends a request for reflection and gives the answer, in the messages of v1.
type ask func(*reflectv1.ServerReflectionRequest) (*reflectv1.ServerReflectionResponse, error)

func reflectV1(ctx context.Context, conn *grpc.ClientConn) error {
	stream, err := reflectv1.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	if err != nil {
		return err
	}
	err = reflect(ctx, conn, func(request *reflectv1.ServerReflectionRequest) (*reflectv1.ServerReflectionResponse, error) {
		if err := stream.Send(request); err != nil {
			return nil, err
		}
		return stream.Recv()
	})
	if err != nil {
		return err
	}
	stream.CloseSend()
	if _, err := stream.Recv(); err != io.EOF {
		return fmt.Errorf("end: %v", err)
	}
	return nil
}

// reflectV1Alpha has other types of the same shape.
func reflectV1Alpha(ctx context.Context, conn *grpc.ClientConn) error {
	stream, err := reflectv1alpha.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	if err != nil {
		return err
	}
	return reflect(ctx, conn, func(request *reflectv1.ServerReflectionRequest) (*reflectv1.ServerReflectionResponse, error) {
		older, newer := new(reflectv1alpha.ServerReflectionRequest), new(reflectv1.ServerReflectionResponse)
		if err := convert(request, older); err != nil {
			return nil, err
		}
		if err := stream.Send(older); err != nil {
			return nil, err
		}
		answer, err := stream.Recv()
		if err != nil {
			return nil, err
		}
		return newer, convert(answer, newer)
	})
}

func convert(from, to proto.Message) error {
	bytes, err := proto.Marshal(from)
	if err != nil {
		return err
	}
	return proto.Unmarshal(bytes, to)
}

// reflect finds a service by reflection alone and calls it, as grpcurl does.
func reflect(ctx context.Context, conn *grpc.ClientConn, ask ask) error {
	answer, err := ask(&reflectv1.ServerReflectionRequest{
		MessageRequest: &reflectv1.ServerReflectionRequest_ListServices{ListServices: "*"},
	})
	if err != nil {
		return err
	}
	const name = "grpc.testing.TestService"
	found := false
	for _, service := range answer.GetListServicesResponse().GetService() {
		found = found || service.Name == name
	}
	if !found {
		return fmt.Errorf("%s is not listed: %v", name, answer)
	}
	files, err := filesOf(ask, name)
	if err != nil {
		return err
	}
	descriptor, err := files.FindDescriptorByName(name)
	if err != nil {
		return err
	}
	if err := echo(ctx, conn, descriptor.(protoreflect.ServiceDescriptor)); err != nil {
		return err
	}
	return odd(ask)
}

// filesOf gets the file that holds `symbol` and all that it imports, by name.
func filesOf(ask ask, symbol string) (*protoregistry.Files, error) {
	answer, err := ask(&reflectv1.ServerReflectionRequest{
		MessageRequest: &reflectv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: symbol},
	})
	if err != nil {
		return nil, err
	}
	set, known := new(descriptorpb.FileDescriptorSet), map[string]bool{}
	waiting := answer.GetFileDescriptorResponse().GetFileDescriptorProto()
	if len(waiting) == 0 {
		return nil, fmt.Errorf("%s is in no file: %v", symbol, answer)
	}
	for len(waiting) > 0 {
		file := new(descriptorpb.FileDescriptorProto)
		if err := proto.Unmarshal(waiting[0], file); err != nil {
			return nil, err
		}
		waiting = waiting[1:]
		if known[file.GetName()] {
			continue
		}
		known[file.GetName()] = true
		set.File = append(set.File, file)
		for _, name := range file.GetDependency() {
			answer, err := ask(&reflectv1.ServerReflectionRequest{
				MessageRequest: &reflectv1.ServerReflectionRequest_FileByFilename{FileByFilename: name},
			})
			if err != nil {
				return nil, err
			}
			waiting = append(waiting, answer.GetFileDescriptorResponse().GetFileDescriptorProto()...)
		}
	}
	return protodesc.NewFiles(set)
}

// echo calls UnaryCall with messages that are made of the descriptors.
func echo(ctx context.Context, conn *grpc.ClientConn, service protoreflect.ServiceDescriptor) error {
	method := service.Methods().ByName("UnaryCall")
	request, answer := dynamicpb.NewMessage(method.Input()), dynamicpb.NewMessage(method.Output())
	request.Set(method.Input().Fields().ByName("response_size"), protoreflect.ValueOfInt32(7))
	if err := conn.Invoke(ctx, fmt.Sprintf("/%s/%s", service.FullName(), method.Name()), request, answer); err != nil {
		return err
	}
	payload := answer.Get(method.Output().Fields().ByName("payload")).Message()
	body := payload.Get(payload.Descriptor().Fields().ByName("body")).Bytes()
	if len(body) != 7 {
		return fmt.Errorf("%d bytes came back", len(body))
	}
	return nil
}

// odd asks for what is not there.
func odd(ask ask) error {
	requests := []*reflectv1.ServerReflectionRequest{
		{MessageRequest: &reflectv1.ServerReflectionRequest_FileByFilename{FileByFilename: "none.proto"}},
		{MessageRequest: &reflectv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "none.None"}},
		{MessageRequest: &reflectv1.ServerReflectionRequest_AllExtensionNumbersOfType{AllExtensionNumbersOfType: "none.None"}},
	}
	for _, request := range requests {
		answer, err := ask(request)
		if err != nil {
			return err
		}
		if code := answer.GetErrorResponse().GetErrorCode(); codes.Code(code) != codes.NotFound {
			return fmt.Errorf("%v: %v", request, answer)
		}
	}
	return nil
}
