using System.Text;

namespace InferenceServer.Engine.Tokenization.Decoders;

/// <summary><c>Metaspace</c>: the replacement becomes a space again, in the first token nothing (unless prepend_scheme is never).</summary>
internal sealed class Metaspace(Rune replacement, bool prepends) : Decoder
{
    private readonly string mark = replacement.ToString();

    /// <summary>Reads the members; old files say <c>add_prefix_space</c>, which must not contradict <c>prepend_scheme</c>.</summary>
    public static Metaspace Read(JsonPart part)
    {
        var replacement = part.Member("replacement").AsRune();
        var scheme = part.OptionalString("prepend_scheme") ?? "always";
        if (scheme is not ("always" or "first" or "never"))
        {
            throw part.Error("prepend_scheme", $"'{scheme}' is not supported; always, first and never are.");
        }

        if (!part.Bool("add_prefix_space", true) && scheme != "never")
        {
            throw part.Error("add_prefix_space", "false contradicts prepend_scheme; the reference refuses this file as well.");
        }

        part.Bool("split", true);
        return new Metaspace(replacement, scheme != "never");
    }

    /// <inheritdoc/>
    public override List<string> Decode(List<string> tokens)
    {
        for (var i = 0; i < tokens.Count; i++)
        {
            tokens[i] = tokens[i].Replace(mark, i == 0 && prepends ? "" : " ", StringComparison.Ordinal);
        }

        return tokens;
    }
}
