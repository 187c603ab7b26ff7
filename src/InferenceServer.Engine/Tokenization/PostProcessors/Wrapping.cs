namespace InferenceServer.Engine.Tokenization.PostProcessors;

/// <summary>What BertProcessing and RobertaProcessing share.</summary>
internal static class Wrapping
{
    /// <summary>Puts a sequence, and every piece of its overflow, between two tokens. Marks of earlier special tokens are forgotten, as in the reference.</summary>
    public static EncodingBuilder Wrap(EncodingBuilder draft, TemplateToken? before, TemplateToken after, int typeId, int sequence, bool keepTypeIds = false)
    {
        var wrapped = EncodeWorkspace.Current.Draft();
        if (before is not null)
        {
            wrapped.Add(new Segment(null, 0, 1, before, typeId, 1, null));
        }

        foreach (var segment in draft.Segments)
        {
            wrapped.Add(segment with { TypeId = keepTypeIds ? segment.TypeId : typeId, SpecialMask = 0 });
        }

        wrapped.Add(new Segment(null, 0, 1, after, typeId, 1, null));
        wrapped.SetRange(sequence, before is null ? 0 : 1, wrapped.Length - 1);
        if (draft.Overflowing.Count > 0)
        {
            wrapped.Overflowing = draft.Overflowing.Select(o => Wrap(o, before, after, typeId, sequence, keepTypeIds)).ToList();
        }

        return wrapped;
    }
}
