using System.Text.Json.Nodes;
using InferenceServer.Engine.Scheduling;
using InferenceServer.Engine.Tasks;
using InferenceServer.Engine.Tasks.Embeddings;
using InferenceServer.Hosting;
using InferenceServer.Http.Middleware;
using InferenceServer.Http.Native;
using Microsoft.OpenApi;
using Swashbuckle.AspNetCore.SwaggerGen;

namespace InferenceServer.Http.OpenApi;

/// <summary>The OpenAPI document and Swagger UI, made from what the endpoints say of themselves where they are mapped. Made when first asked for.</summary>
internal static class OpenApiSetup
{
    /// <summary>Registers the document.</summary>
    public static void AddOpenApi(this WebApplicationBuilder builder, string version)
    {
        builder.Services.AddEndpointsApiExplorer();
        builder.Services.AddSingleton<ISerializerDataContractResolver>(new Contracts());
        builder.Services.AddSwaggerGen(swagger =>
        {
            swagger.SwaggerDoc("v1", new OpenApiInfo
            {
                Title = "InferenceServer",
                Version = version,
                Description = "Embeddings, predictions, generated text and attention of pretrained BERT, GPT and encoder-decoder models. Offsets count Unicode code points of the original text. Errors are problem details (RFC 9457).",
            });
            swagger.CustomSchemaIds(SchemaId);
            swagger.TagActionsBy(static api => [Group(api.RelativePath ?? "")]);
            swagger.OrderActionsBy(static api => $"{Group(api.RelativePath ?? "") switch { "Models" => 0, "Inference" => 1, "Tokens" => 2, _ => 3 }}{api.RelativePath}");
            swagger.MapType<InputList>(Inputs);
            swagger.MapType<EmbeddingVector>(Numbers);
            swagger.SupportNonNullableReferenceTypes();
            swagger.NonNullableReferenceTypesAsRequired();
            swagger.OperationFilter<OperationFilter>();
            swagger.SchemaFilter<BodySchemas>();
            foreach (var assembly in (System.Reflection.Assembly[])[typeof(OpenApiSetup).Assembly, typeof(ITask).Assembly])
            {
                if (File.Exists(Path.ChangeExtension(assembly.Location, ".xml")))
                {
                    swagger.IncludeXmlComments(assembly, includeControllerXmlComments: false);
                }
            }
        });
    }

    /// <summary>Serves the document at /swagger/v1/swagger.json and Swagger UI at /swagger.</summary>
    public static void UseOpenApi(this WebApplication app)
    {
        app.UseSwagger();
        app.UseSwaggerUI(ui =>
        {
            ui.SwaggerEndpoint("/swagger/v1/swagger.json", "InferenceServer");
            ui.DocumentTitle = "InferenceServer";
            ui.DisplayRequestDuration();
            ui.DefaultModelsExpandDepth(0);
        });
    }

    // The headings of Swagger UI.
    private static string Group(string path) => path[(path.LastIndexOf('/') + 1)..] switch
    {
        _ when path.StartsWith("health", StringComparison.Ordinal) => "Health",
        "models" or "{model}" => "Models",
        "tokenize" or "detokenize" => "Tokens",
        _ => "Inference",
    };

    private static OpenApiSchema Inputs() => new()
    {
        Description = "A text, a list of texts, or a list of lists of token ids.",
        OneOf =
        [
            new OpenApiSchema { Type = JsonSchemaType.String },
            new OpenApiSchema { Type = JsonSchemaType.Array, Items = new OpenApiSchema { Type = JsonSchemaType.String } },
            new OpenApiSchema { Type = JsonSchemaType.Array, Items = new OpenApiSchema { Type = JsonSchemaType.Array, Items = new OpenApiSchema { Type = JsonSchemaType.Integer, Format = "int32" } } },
        ],
    };

    private static OpenApiSchema Numbers() => new() { Type = JsonSchemaType.Array, Items = new OpenApiSchema { Type = JsonSchemaType.Number } };

    private static string SchemaId(Type type) => type.IsGenericType ? type.Name[..type.Name.IndexOf('`', StringComparison.Ordinal)] + string.Concat(type.GetGenericArguments().Select(SchemaId)) : type.Name;

    /// <summary>Types as the serializer sees them; the parameters of a prediction without its inputs, which stand beside them.</summary>
    private sealed class Contracts : ISerializerDataContractResolver
    {
        private readonly JsonSerializerDataContractResolver own = new(WireJson.Requests);

        public DataContract GetDataContractForType(Type type)
        {
            var contract = own.GetDataContractForType(type);
            return type.IsSubclassOf(typeof(PredictionRequest))
                ? DataContract.ForObject(type, contract.ObjectProperties.Where(p => p.MemberInfo.DeclaringType != typeof(PredictionRequest)))
                : contract;
        }
    }

    /// <summary>Summary, examples, path parameters, error answers and headers of an operation.</summary>
    private sealed class OperationFilter : IOperationFilter
    {
        private static readonly (string Name, string Description)[] InferenceHeaders =
        [
            ("x-model", "The model's id"),
            ("x-tokenize-ms", "Time in the tokenizer"),
            ("x-queue-ms", "Longest wait of an input in the queue"),
            ("x-inference-ms", "Longest run of a batch that an input rode in"),
            ("x-batch-size", "Largest batch that an input rode in"),
            ("x-tokens", "Tokens of all inputs"),
        ];

        public void Apply(OpenApiOperation operation, OperationFilterContext context)
        {
            var metadata = context.ApiDescription.ActionDescriptor.EndpointMetadata;
            if (metadata.OfType<OperationDescription>().FirstOrDefault() is not { } description)
            {
                return;
            }

            operation.OperationId = description.Id;
            operation.Summary = description.Summary;
            operation.Description = string.Join("\n\n", metadata.OfType<FurtherExample>().Select(e => $"{e.Name}, on `{e.Model}`: `{e.Body}`").Prepend(description.Description));
            var path = context.ApiDescription.RelativePath ?? "";
            AddModelParameter(operation, path, description);
            AddExample(operation, description);
            if (operation.RequestBody is not null)
            {
                AddRequestHeaders(operation);
            }

            foreach (var status in metadata.OfType<Refusals>().SelectMany(r => r.Statuses))
            {
                var schema = context.SchemaGenerator.GenerateSchema(typeof(Problem), context.SchemaRepository);
                var response = new OpenApiResponse
                {
                    Description = status == StatusCodes.Status404NotFound ? "There is no such model" : ErrorTable.OfStatus(status).Title,
                    Content = new Dictionary<string, IOpenApiMediaType> { [Problem.ContentType] = new OpenApiMediaType { Schema = schema } },
                };
                if (status is StatusCodes.Status429TooManyRequests or StatusCodes.Status503ServiceUnavailable)
                {
                    response.Headers = new Dictionary<string, IOpenApiHeader> { ["Retry-After"] = Header("Seconds after which to try again", JsonSchemaType.Integer) };
                }

                (operation.Responses ??= [])[status.ToString(System.Globalization.CultureInfo.InvariantCulture)] = response;
            }

            foreach (var response in (operation.Responses ?? []).Values.OfType<OpenApiResponse>())
            {
                response.Headers ??= new Dictionary<string, IOpenApiHeader>();
                response.Headers["x-request-id"] = Header("The request's id, also in the server's log", JsonSchemaType.String);
            }

            if (operation.RequestBody is not null && operation.Responses?.GetValueOrDefault("200") is OpenApiResponse ok)
            {
                ok.Description = "The answer";
                foreach (var (name, text) in InferenceHeaders)
                {
                    ok.Headers![name] = Header(text, name == "x-model" ? JsonSchemaType.String : JsonSchemaType.Number);
                }
            }
        }

        private static OpenApiHeader Header(string description, JsonSchemaType type) => new() { Description = description, Schema = new OpenApiSchema { Type = type } };

        private static void AddModelParameter(OpenApiOperation operation, string path, OperationDescription description)
        {
            if (!path.Contains("{model}", StringComparison.Ordinal))
            {
                return;
            }

            operation.Parameters ??= [];
            if (operation.Parameters.FirstOrDefault(p => p.Name == "model") is not OpenApiParameter parameter)
            {
                parameter = new OpenApiParameter { Name = "model", In = ParameterLocation.Path, Required = true, Schema = new OpenApiSchema { Type = JsonSchemaType.String } };
                operation.Parameters.Add(parameter);
            }

            parameter.Description = "Id of a model, as GET /api/models lists them";
            parameter.Example = description.Model;
        }

        private static void AddRequestHeaders(OpenApiOperation operation)
        {
            operation.Parameters ??= [];
            operation.Parameters.Add(new OpenApiParameter
            {
                Name = RequestHeaders.Deadline,
                In = ParameterLocation.Header,
                Description = "Milliseconds after which the client no longer wants the answer: 504 then. Default, and at most, the server's own time limit",
                Schema = new OpenApiSchema { Type = JsonSchemaType.Integer, Minimum = "1" },
            });
            operation.Parameters.Add(new OpenApiParameter
            {
                Name = RequestHeaders.Priority,
                In = ParameterLocation.Header,
                Description = "interactive: somebody waits; bulk: goes when nothing interactive waits. Default: interactive",
                Schema = new OpenApiSchema { Type = JsonSchemaType.String, Enum = [.. WireJson.Names(typeof(Priority)).Select(n => (JsonNode)n)] },
            });
        }

        private static void AddExample(OpenApiOperation operation, OperationDescription description)
        {
            if (description.Example is null || operation.RequestBody is not OpenApiRequestBody body)
            {
                return;
            }

            body.Required = true;
            foreach (var media in body.Content!.Values.OfType<OpenApiMediaType>())
            {
                media.Example = JsonNode.Parse(description.Example);
            }
        }
    }

    /// <summary>What the types alone do not say: the forms that a body's members take by task, and that nothing else is taken.</summary>
    private sealed class BodySchemas : ISchemaFilter
    {
        public void Apply(IOpenApiSchema schema, SchemaFilterContext context)
        {
            if (schema is not OpenApiSchema open)
            {
                return;
            }

            IOpenApiSchema Of(Type type) => context.SchemaGenerator.GenerateSchema(type, context.SchemaRepository);
            if (context.Type.Name.EndsWith("Body", StringComparison.Ordinal) && open.Properties is { Count: > 0 })
            {
                open.AdditionalPropertiesAllowed = false;
            }

            if (context.Type == typeof(PredictionsBody))
            {
                var predictions = TaskCatalogue.All.OfType<IPredictionTask>().ToList();
                var inputs = Inputs();
                inputs.OneOf!.Add(new OpenApiSchema { Type = JsonSchemaType.Array, Items = Of(typeof(QuestionBody)) });
                open.Properties!["inputs"] = inputs;
                open.Properties["pairs"] = Inputs();
                open.Properties["task"] = new OpenApiSchema { Type = JsonSchemaType.String, Description = "One of the model's tasks. Default: that of its head.", Enum = [.. predictions.Select(t => (JsonNode)TaskNames.Of(t))] };
                open.Properties["parameters"] = new OpenApiSchema { Description = "The task's parameters.", AnyOf = [.. predictions.Select(t => Of(t.RequestType))] };
            }
            else if (context.Type == typeof(PredictionsAnswer) && open.Properties?.ContainsKey("items") == true)
            {
                var results = typeof(PredictionResult).Assembly.GetTypes().Where(t => t.BaseType == typeof(PredictionResult));
                open.Properties["items"] = new OpenApiSchema { Type = JsonSchemaType.Array, Description = "One entry an input; its members depend on the task.", Items = new OpenApiSchema { AnyOf = [.. results.Select(Of)] } };
            }
            else if (context.Type == typeof(EmbeddingAnswerItem))
            {
                open.Properties!["embedding"] = new OpenApiSchema { OneOf = [Numbers(), new OpenApiSchema { Type = JsonSchemaType.String, Format = "byte" }] };
                open.Properties["embeddings"] = new OpenApiSchema { Type = JsonSchemaType.Array, Items = new OpenApiSchema { OneOf = [Numbers(), new OpenApiSchema { Type = JsonSchemaType.String, Format = "byte" }] } };
                open.Properties["tokens"] = new OpenApiSchema { OneOf = [new OpenApiSchema { Type = JsonSchemaType.Integer }, new OpenApiSchema { Type = JsonSchemaType.Array, Items = new OpenApiSchema { Type = JsonSchemaType.String } }] };
            }
            else if (context.Type == typeof(AttentionAnswer))
            {
                open.Properties!["attention"] = new OpenApiSchema { Description = "Nested lists in the order of the axes, or base64 (f16_base64, u8).", OneOf = [new OpenApiSchema { Type = JsonSchemaType.Array, Items = new OpenApiSchema() }, new OpenApiSchema { Type = JsonSchemaType.String, Format = "byte" }] };
            }
        }
    }
}
