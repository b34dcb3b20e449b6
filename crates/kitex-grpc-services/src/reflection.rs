//! The service that answers questions about descriptors. One serves v1 and v1alpha, whose messages are the same: a
//! server looks at a service's name without its package.

use std::sync::Arc;

use kitex::{BidiStreamingServer, Context, Protobuf, Result, Service};

use crate::index::{BadDescriptors, Index};
use crate::reflection_pb::grpc::reflection::v1::server_reflection_request::MessageRequest;
use crate::reflection_pb::grpc::reflection::v1::server_reflection_response::MessageResponse;
use crate::reflection_pb::grpc::reflection::v1::{
    ErrorResponse, ExtensionNumberResponse, FileDescriptorResponse, ListServiceResponse,
    REFLECTION_DESCRIPTORS, ServerReflection, ServerReflectionRequest, ServerReflectionResponse,
    ServerReflectionServer, ServiceResponse,
};

/// The descriptors of a server's services. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reflection(Arc<Index>);

impl Reflection {
    /// Returns the reflection of these descriptors, each an encoded `FileDescriptorSet`, and of itself.
    ///
    /// # Errors
    /// Bytes are no encoded `FileDescriptorSet`.
    pub fn of<'a>(
        descriptors: impl IntoIterator<Item = &'a [u8]>,
    ) -> std::result::Result<Self, BadDescriptors> {
        let mut index = Index::default();
        for descriptors in descriptors {
            index.add(descriptors)?;
        }
        index.add(REFLECTION_DESCRIPTORS)?;
        Ok(Self(Arc::new(index)))
    }

    /// Returns the service `ServerReflection`, for clients of v1 and of v1alpha.
    pub fn service(&self) -> impl Service + use<> {
        ServerReflectionServer::new(self.clone())
    }

    fn answer(&self, request: &MessageRequest) -> MessageResponse {
        let Self(index) = self;
        let files = |found: Option<Vec<_>>, what: &str| match found {
            Some(file_descriptor_proto) => {
                MessageResponse::FileDescriptorResponse(FileDescriptorResponse { file_descriptor_proto })
            }
            None => not_found(what),
        };
        match request {
            MessageRequest::FileByFilename(name) => files(index.file(name), name),
            MessageRequest::FileContainingSymbol(symbol) => files(index.file_of_symbol(symbol), symbol),
            MessageRequest::FileContainingExtension(extension) => {
                let (of, number) = (&extension.containing_type, extension.extension_number);
                files(index.file_of_extension(of, number), &format!("extension {number} of {of}"))
            }
            MessageRequest::AllExtensionNumbersOfType(of) => match index.extensions_of(of) {
                Some(extension_number) => {
                    let base_type_name = of.clone();
                    let numbers = ExtensionNumberResponse { base_type_name, extension_number };
                    MessageResponse::AllExtensionNumbersResponse(numbers)
                }
                None => not_found(of),
            },
            MessageRequest::ListServices(_) => {
                let services = index.services().iter().map(|name| ServiceResponse { name: name.clone() });
                let service = services.collect();
                MessageResponse::ListServicesResponse(ListServiceResponse { service })
            }
        }
    }
}

fn not_found(what: &str) -> MessageResponse {
    error(NOT_FOUND, format!("{what} not found"))
}

fn error(error_code: i32, error_message: String) -> MessageResponse {
    MessageResponse::ErrorResponse(ErrorResponse { error_code, error_message })
}

#[kitex::async_trait]
impl ServerReflection for Reflection {
    async fn server_reflection_info(
        &self,
        _: Context,
        mut stream: BidiStreamingServer<ServerReflectionRequest, ServerReflectionResponse, Protobuf>,
    ) -> Result<()> {
        while let Some(request) = stream.recv().await? {
            let answer = match &request.message_request {
                Some(asked) => self.answer(asked),
                None => error(INVALID_ARGUMENT, "nothing is asked for".to_owned()),
            };
            let response = ServerReflectionResponse {
                valid_host: request.host.clone(),
                original_request: Some(request),
                message_response: Some(answer),
            };
            stream.send(&response).await?;
        }
        Ok(())
    }
}

const INVALID_ARGUMENT: i32 = 3;
const NOT_FOUND: i32 = 5;
