namespace InferenceServer.Engine.Tokenization.Patterns;

/// <summary>The one place where a <c>pattern</c> of tokenizer.json becomes a class.</summary>
internal static class PatternFactory
{
    /// <summary>Builds the pattern that <paramref name="part"/> describes: <c>{"String": ...}</c> or <c>{"Regex": ...}</c>.</summary>
    /// <exception cref="Diagnostics.ModelLoadException">It is neither, or the regular expression is damaged or not supported.</exception>
    public static Pattern Create(JsonPart part)
    {
        if (part.OptionalString("String") is { } literal)
        {
            return literal.Length > 0 ? new LiteralPattern(literal) : new RegexPattern(RegexProgram.Compile(string.Empty));
        }

        if (part.OptionalString("Regex") is { } regex)
        {
            try
            {
                return (Pattern?)KnownPattern.TryCreate(regex) ?? new RegexPattern(RegexProgram.Compile(regex));
            }
            catch (FormatException e)
            {
                throw part.Error("Regex", $"the pattern '{(regex.Length > 120 ? regex[..120] + "..." : regex)}' {e.Message}");
            }
        }

        throw part.Error("must hold a String or a Regex.");
    }
}
