namespace InferenceServer.Engine.Diagnostics;

/// <summary>Every way a request can fail. Each dialect has one table from codes to its own statuses.</summary>
public enum ErrorCode
{
    /// <summary>The request cannot be read: bad JSON, an unknown field, a value of the wrong type.</summary>
    Malformed,

    /// <summary>Credentials are missing or wrong.</summary>
    Unauthorized,

    /// <summary>There is no model of that name.</summary>
    UnknownModel,

    /// <summary>The model is known, but it is not loaded (unloaded, or it failed to load).</summary>
    NotLoaded,

    /// <summary>The body, or the answer it asks for, is larger than the limit.</summary>
    TooLarge,

    /// <summary>Valid JSON that cannot be served: empty text, too long, unknown layer, a task the model lacks.</summary>
    Unprocessable,

    /// <summary>The queue is full; try again later.</summary>
    QueueFull,

    /// <summary>The client went away; nobody reads the answer.</summary>
    ClientGone,

    /// <summary>A defect of the server.</summary>
    Internal,

    /// <summary>The model gave values that are no numbers for an input.</summary>
    NotFinite,

    /// <summary>The server is draining or the model is still loading.</summary>
    Unavailable,

    /// <summary>The request's deadline passed.</summary>
    DeadlinePassed,
}
