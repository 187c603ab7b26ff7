namespace InferenceServer.Engine.Tokenization;

/// <summary>How short sequences are filled up; as <c>padding</c> of tokenizer.json. <paramref name="Length"/> null: to the longest of the batch.</summary>
internal sealed record Padding(int? Length, Side Direction = Side.Right, int? MultipleOf = null, int PadId = 0, int PadTypeId = 0, string PadToken = "[PAD]")
{
    /// <summary>The length that sequences of at most <paramref name="longest"/> tokens are filled up to.</summary>
    public int Target(int longest)
    {
        var length = Length ?? longest;
        return MultipleOf is > 0 and var multiple && length % multiple > 0 ? length + multiple - (length % multiple) : length;
    }
}
