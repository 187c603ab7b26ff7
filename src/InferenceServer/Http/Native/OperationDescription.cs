namespace InferenceServer.Http.Native;

/// <summary>What the OpenAPI document says of an operation, written where the operation is mapped.</summary>
/// <param name="Id">Operation id and tag of the resource.</param>
/// <param name="Summary">One line.</param>
/// <param name="Description">More.</param>
/// <param name="Model">A model of the demo models on which the example runs; null when the operation takes none.</param>
/// <param name="Example">A body that succeeds as it stands, in JSON; null when the operation takes none.</param>
internal sealed record OperationDescription(string Id, string Summary, string Description, string? Model, string? Example);

/// <summary>Statuses of errors that the operation answers, each as problem details.</summary>
internal sealed record Refusals(IReadOnlyList<int> Statuses);

/// <summary>Attaches descriptions to endpoints.</summary>
internal static class OperationDescriptions
{
    /// <summary>Describes the operation.</summary>
    public static TBuilder Describes<TBuilder>(this TBuilder builder, string id, string summary, string description, string? model = null, string? example = null)
        where TBuilder : IEndpointConventionBuilder => builder.WithMetadata(new OperationDescription(id, summary, description, model, example));

    /// <summary>Says which errors the operation answers.</summary>
    public static TBuilder Refuses<TBuilder>(this TBuilder builder, params int[] statuses)
        where TBuilder : IEndpointConventionBuilder => builder.WithMetadata(new Refusals(statuses));
}

/// <summary>A further body, shown in the description, for operations that do different things on different models.</summary>
/// <param name="Name">What it shows.</param>
/// <param name="Model">The demo model on which it runs.</param>
/// <param name="Body">The body, in JSON.</param>
internal sealed record FurtherExample(string Name, string Model, string Body);
